// SPDX-License-Identifier: Apache-2.0

/// Why the scanner gave no report.
package enum ScanFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// It can't be reached, or lets nobody in: nothing that the image could help.
    case unreachable(String)
    /// It asks to be left alone for a while (429), or hasn't got its data yet (202).
    case later(String)
    /// It has no report of the image.
    case unknownImage
    /// It failed on this image.
    case failed(String)
    /// It says that this is no image (400).
    case refused(String)

    package var description: String {
        switch self {
        case .unreachable(let reason), .later(let reason), .failed(let reason), .refused(let reason): reason
        case .unknownImage: "the scanner has no report"
        }
    }
}

/// What an image's row says after a try.
package struct ScanVerdict: Sendable, Hashable {
    package let state: ScanState
    package let failures: Int
    /// When to look again; nil for not before something changes.
    package let after: Duration?
    package let reason: String?

    package init(state: ScanState, failures: Int = 0, after: Duration?, reason: String? = nil) {
        self.state = state
        self.failures = failures
        self.after = after
        self.reason = reason
    }
}

/// What is to be done with images, and what follows from what the scanner says. Pure.
package enum ScanRules {
    package struct Limits: Sendable, Hashable {
        /// Failures of its own that an image is forgiven.
        package var maximumFailures = 5
        /// A larger layer isn't sent; nil for no limit.
        package var maximumLayerBytes: Int64?
        /// A report that is older is asked for anew.
        package var reportAge: Duration = .seconds(86_400)

        package init() {}
    }

    package enum Plan: Sendable, Hashable {
        /// Send these layers, then ask for the report.
        case index([ScanLayer])
        /// The scanner knows the image: ask for the report.
        case report
        /// There is nothing to send.
        case rest(ScanVerdict)
    }

    /// Layers that other hosts keep aren't sent unless their bytes are here: the scanner is told of no address but ours.
    package static func plan(_ image: ScanImage, scanner indexState: String, _ limits: Limits) -> Plan {
        let layers = image.layers.filter { $0.isPresent || !$0.isForeign }
        guard !layers.isEmpty else {
            return .rest(ScanVerdict(state: .unsupported, after: nil, reason: "the image has no layers of its own"))
        }
        if let limit = limits.maximumLayerBytes, let layer = layers.first(where: { $0.sizeBytes > limit }) {
            let reason = "layer \(layer.digest) of \(layer.sizeBytes) bytes is larger than \(limit)"
            return .rest(ScanVerdict(state: .tooLarge, after: nil, reason: reason))
        }
        if let lost = layers.first(where: { !$0.isPresent }) {
            let reason = "layer \(lost.digest) isn't here any more"
            return .rest(ScanVerdict(state: .failed, failures: image.failures, after: .seconds(300), reason: reason))
        }
        if image.isIndexed, image.indexState == indexState, !image.isInDoubt { return .report }
        return .index(layers)
    }

    /// What becomes of an image that the scanner failed on.
    ///
    /// Only the scanner's failures over this image count against it. That it can't be reached, has too much to do (429), or
    /// no data yet (202), says nothing of the image; and a scanner that loads its data for the first time has none for
    /// longer than five tries take: counted, every image of that hour would rest until the scanner's next upgrade.
    /// - Parameter jitter: 0 to 1, so that many who failed together don't come back together
    package static func after(
        _ failure: ScanFailure,
        _ image: ScanImage,
        _ limits: Limits,
        jitter: Double
    ) -> ScanVerdict {
        // An old report is better than none.
        let waiting: ScanState = image.state == .scanned ? .scanned : image.failures > 0 ? .failed : .queued
        switch failure {
        case .unreachable(let reason):
            // Soon: nothing is sent anyhow before the scanner is seen again.
            let delay = Duration.seconds(5 * (0.5 + 0.5 * min(max(jitter, 0), 1)))
            return ScanVerdict(state: waiting, failures: image.failures, after: delay, reason: reason)
        case .later(let reason):
            return ScanVerdict(state: waiting, failures: image.failures, after: delay(2, jitter), reason: reason)
        case .refused(let reason):
            return ScanVerdict(state: .refused, after: nil, reason: reason)
        case .failed, .unknownImage:
            let failures = image.failures + 1
            let reason = failure.description
            guard failures < limits.maximumFailures else {
                return ScanVerdict(state: .exhausted, failures: failures, after: nil, reason: reason)
            }
            return ScanVerdict(state: .failed, failures: failures, after: delay(failures, jitter), reason: reason)
        }
    }

    /// 15 to 30 seconds after the first failure, twice as long after each further one, up to ten minutes.
    package static func delay(_ failures: Int, _ jitter: Double) -> Duration {
        let ceiling = min(600, 30 * (1 << min(max(failures, 1) - 1, 10)))
        return .seconds(Double(ceiling) * (0.5 + 0.5 * min(max(jitter, 0), 1)))
    }
}
