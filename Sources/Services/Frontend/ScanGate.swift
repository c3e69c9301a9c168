// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import PullThrough
import Waiting

/// Holds back images that their organization doesn't serve for what the scanner says of them, or has not said yet. Asks
/// nobody anything where the organization has no such rule.
struct ScanGate: Sendable {
    private static let retryAfterSeconds = 30
    private static let pollInterval: Duration = .seconds(1)

    private let client: PostgresClient
    private let hub: ChangeHub
    private let deadline: Duration
    private let reports = ScanReportStore()

    /// - Parameter deadline: how long a client waits for a scan
    init(client: PostgresClient, hub: ChangeHub, deadline: Duration) {
        self.client = client
        self.hub = hub
        self.deadline = deadline
    }

    /// Returns when the manifest may be served.
    /// - Throws: ``RegistryError`` 403 `DENIED` that names the finding; 503 when the scan takes too long
    func check(_ manifest: ManifestRecord, in place: RequestedRepository) async throws {
        let policy = place.organization.scanPolicy
        guard !policy.isOff else { return }
        if try await decide(manifest, place, policy) { return }
        let wakeUp = WakeUp()
        let topic = ChangeHub.Topic.scan(manifest.digest.description)
        hub.add(wakeUp, for: topic)
        defer { hub.remove(wakeUp, for: topic) }
        let end = ContinuousClock.now + deadline
        while ContinuousClock.now < end {
            // Looked at once more after the wake-up was added: the news may have come before.
            if try await decide(manifest, place, policy) { return }
            await wakeUp.wait(atMost: min(Self.pollInterval, end - ContinuousClock.now))
            try Task.checkCancellation()
        }
        throw RegistryError(
            .unavailable,
            status: 503,
            message: "\(place) has to be scanned before it is served, and that isn't done yet",
            retryAfterSeconds: Self.retryAfterSeconds
        )
    }

    /// Returns whether it may be served; false to look again.
    private func decide(
        _ manifest: ManifestRecord,
        _ place: RequestedRepository,
        _ policy: ScanPolicy
    ) async throws -> Bool {
        guard let standing = try await reports.standing(of: manifest.id, on: client) else {
            throw RegistryError(.manifestUnknown, message: "\(place) has no manifest \(manifest.digest) any more")
        }
        switch policy.decide(standing) {
        case .serve: return true
        case .wait: return false
        case .refuse(let finding):
            throw RegistryError(
                .denied,
                status: 403,
                message:
                    "\(place.organization.name) serves no image with \(finding.severity.name) findings that can be "
                    + "fixed: \(finding.name) in \(finding.package) \(finding.version), fixed in \(finding.fixedBy)",
                detail: [
                    "digest": manifest.digest.description, "severity": finding.severity.name,
                    "vulnerability": finding.name, "package": finding.package, "fixedBy": finding.fixedBy,
                ]
            )
        case .refuseUnscanned:
            throw RegistryError(
                .denied,
                status: 403,
                message: "\(place.organization.name) serves no image that hasn't been scanned; "
                    + Self.reason(standing.state),
                detail: ["digest": manifest.digest.description]
            )
        }
    }

    private static func reason(_ state: ScanState?) -> String {
        switch state {
        case nil: "this one isn't complete here yet"
        case .queued, .scanned, .unsupported: "this one is about to be"
        case .failed: "the scanner failed on this one, and will be asked again"
        case .exhausted: "the scanner has failed on this one again and again"
        case .refused: "the scanner doesn't take this one"
        case .tooLarge: "this one has a layer that is too large for it"
        }
    }
}
