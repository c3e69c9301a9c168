// SPDX-License-Identifier: Apache-2.0

import Models

/// What a check found, and what to do about it. Pure.
struct Finding: Sendable, Hashable, Encodable {
    enum Status: String, Sendable, Hashable, Encodable, CaseIterable {
        case ok, warning, problem
    }

    /// `database`, `clock`, `storage`, `queue` or `upstream`.
    let check: String
    /// Which of them.
    let subject: String
    let status: Status
    let message: String
    /// Empty when there is nothing to do.
    let advice: String

    static func ok(_ check: String, _ subject: String, _ message: String) -> Finding {
        Finding(check: check, subject: subject, status: .ok, message: message, advice: "")
    }
}

/// Turns measurements into findings. Pure.
enum Diagnosis {
    /// Tokens carry times, and an upstream's certificates have theirs.
    private static let tolerableSkew: Duration = .seconds(2)
    private static let dangerousSkew: Duration = .seconds(30)
    /// Jobs that clients wait for are taken up at once.
    private static let tolerableDelay: Duration = .seconds(10)

    /// - Parameter skew: of this process's clock against the database's
    static func clock(skew: Duration) -> Finding {
        let size = skew < .zero ? .zero - skew : skew
        let message = "this frontend's clock differs from the database's by \(tenths(size)) s"
        guard size > tolerableSkew else { return .ok("clock", "frontend", message) }
        return Finding(
            check: "clock",
            subject: "frontend",
            status: size > dangerousSkew ? .problem : .warning,
            message: message,
            advice: "keep the clocks of all machines by NTP"
        )
    }

    /// - Parameters:
    ///   - freeBytes: of the blob storage
    ///   - totalBytes: of it
    static func storage(_ place: String, freeBytes: Int64, totalBytes: Int64, isWritable: Bool) -> Finding {
        let percent = totalBytes > 0 ? Int(Double(freeBytes) * 100 / Double(totalBytes)) : 0
        let message = "\(ByteAmount.text(freeBytes)) of \(ByteAmount.text(totalBytes)) are free (\(percent) %)"
        if percent < 3 {
            return Finding(
                check: "storage",
                subject: place,
                status: .problem,
                message: message,
                advice: "make room, or set quotas (`entrepot quota set`): blobs that don't fit aren't cached"
            )
        }
        if percent < 10 {
            return Finding(
                check: "storage",
                subject: place,
                status: .warning,
                message: message,
                advice: "set quotas (`entrepot quota set`) or a larger volume before it is full"
            )
        }
        return .ok("storage", place, isWritable ? message : message + "; read-only here, which a frontend may be")
    }

    static func queue(_ name: String, discarded: Int, oldestDue: Duration?) -> Finding {
        if let oldestDue, oldestDue > tolerableDelay {
            return Finding(
                check: "queue",
                subject: name,
                status: name == JobQueueName.fills.rawValue ? .warning : .problem,
                message: "the oldest job has been waiting for \(tenths(oldestDue)) s",
                advice: "see whether fetchers run and reach the database; start more of them"
            )
        }
        let given = discarded == 0 ? "" : "; \(discarded) were given up lately"
        return .ok("queue", name, "nothing waits" + given)
    }

    static func upstream(_ organization: String, _ result: Result<UpstreamChecked, FetchFailure>) -> Finding {
        let failure: FetchFailure
        switch result {
        case .success(.valid): return .ok("upstream", organization, "lets us in")
        case .success(.anonymous): return .ok("upstream", organization, "answers; we have no login there")
        case .failure(let reason): failure = reason
        }
        let advice =
            switch failure.cause {
            case .denied: "give it credentials that it takes: `entrepot proxy credentials \(organization)`"
            case .refusedAddress: "allow the address by SSRF_ALLOWED_HOSTS if it is meant to be private"
            case .unreachable: "see whether the fetchers' network, DNS and proxy settings lead there"
            case .timeout: "see whether fetchers run, and whether their network leads there"
            case .rateLimited: "log in there, or raise freshness: `entrepot proxy set \(organization) --freshness 5m`"
            default: "see the upstream's own status; what is cached is served meanwhile"
            }
        return Finding(
            check: "upstream",
            subject: organization,
            status: .problem,
            message: failure.message,
            advice: advice
        )
    }

    private static func tenths(_ duration: Duration) -> String {
        let tenths = Int((duration / .milliseconds(100)).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
