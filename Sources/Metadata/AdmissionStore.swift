// SPDX-License-Identifier: Apache-2.0

package import Models
package import OCI
package import Postgres

/// Decides whether an image has room, and makes it if it can. In one transaction under the organization's lock, so that
/// what was decided still holds when it is done.
package struct AdmissionStore: Sendable {
    /// What wants to be stored.
    package struct Request: Sendable {
        package let organization: OrganizationID
        package let repository: RepositoryName
        package let digest: Digest
        package let document: ManifestDocument
        package let manifestBytes: Int

        package init(
            organization: OrganizationID,
            repository: RepositoryName,
            digest: Digest,
            document: ManifestDocument,
            manifestBytes: Int
        ) {
            self.organization = organization
            self.repository = repository
            self.digest = digest
            self.document = document
            self.manifestBytes = manifestBytes
        }
    }

    /// What was decided, and on what grounds.
    package struct Decision: Sendable {
        package let admission: Admission
        package let usage: Usage
        package let quota: Quota?
        /// Bytes of the whole image.
        package let sizeBytes: Int64
    }

    /// Candidates that are looked at together.
    private static let batch = 100
    private static let firstCandidates = 200
    /// A pull waits: what takes more than so many is left to the pruner.
    private static let maximumCandidates = 5_000
    private static let patience: Duration = .milliseconds(1_500)
    /// Victims of the pruner whose ends are one transaction: pulls of the organization wait for it.
    private static let endedTogether = 500
    private static let loadedTogether = 2_000

    private let usages = UsageStore()
    private let quotas = QuotaStore()
    private let pruning = PruneStore()

    package init() {}

    /// Decides, changes nothing. Takes the organization's lock.
    package func decide(_ request: Request, on transaction: some Queryable) async throws -> Decision {
        try await usages.lock(request.organization, on: transaction)
        let usage = try await usages.usage(of: request.organization, on: transaction)
        guard let quota = try await quotas.find(of: request.organization, on: transaction) else {
            return Decision(admission: .fits, usage: usage, quota: nil, sizeBytes: 0)
        }
        let (size, missing) = try await pruning.need(
            of: request.document,
            digest: request.digest,
            manifestBytes: request.manifestBytes,
            organization: request.organization,
            on: transaction
        )
        let first = AdmissionRules.beforePruning(missing: missing, size: size, usage: usage, quota: quota)
        let admission: Admission
        if let first {
            admission = first
        } else {
            admission = try await makeRoom(
                usage.liveBytes - quota.limitBytes + missing,
                in: request.organization,
                sparing: (request.repository, request.digest),
                on: transaction
            )
        }
        return Decision(admission: admission, usage: usage, quota: quota, sizeBytes: size)
    }

    /// What to end so that an organization has so many bytes less. Changes nothing. A pull waits, so that the search ends
    /// after a while with ``Admission/later``.
    private func makeRoom(
        _ deficit: Int64,
        in organization: OrganizationID,
        sparing: (repository: RepositoryName, digest: Digest),
        on transaction: some Queryable
    ) async throws -> Admission {
        let clock = ContinuousClock()
        let deadline = clock.now + Self.patience
        var graph = PruneGraph()
        var names: [String: Int] = [:]
        var known = 0
        var limit = Self.firstCandidates
        var admission = Admission.cannotFit
        while true {
            let candidates = try await pruning.candidates(
                of: organization,
                sparing: sparing,
                limit: limit,
                on: transaction
            )
            while known < candidates.count {
                if known > 0, clock.now > deadline { return .later }
                known = min(candidates.count, known + Self.batch)
                let first = Array(candidates[..<known])
                try await pruning.load(
                    first,
                    of: organization,
                    isSparingOversized: false,
                    into: &graph,
                    names: &names,
                    on: transaction
                )
                admission = AdmissionRules.byPruning(deficit: deficit, candidates: first, graph: graph)
                if case .prune = admission { return admission }
            }
            // Few are enough as a rule; more are asked for when there are more.
            guard candidates.count == limit else { return admission }
            guard limit < Self.maximumCandidates else { return .later }
            limit = min(Self.maximumCandidates, limit * 10)
        }
    }

    // MARK: - To the limit

    /// Prunes an organization until its usage, oversized images left aside, is within its limit; no more than that. Many
    /// victims are ended in several transactions, so that pulls go on in between.
    /// - Returns: what was ended
    package func pruneToLimit(_ organization: OrganizationID, on client: PostgresClient) async throws
        -> [PruneCandidate]
    {
        var ended: [PruneCandidate] = []
        while true {
            let victims = try await client.withTransaction { transaction in
                try await usages.lock(organization, on: transaction)
                let victims = try await nextVictims(of: organization, isFirst: ended.isEmpty, on: transaction)
                try await pruning.end(victims, on: transaction)
                return victims
            }
            guard !victims.isEmpty else { return ended }
            ended += victims
        }
    }

    /// What is ended next of an organization that is over its limit.
    /// - Parameter isFirst: nothing was ended yet; nothing is, unless that can bring the organization within its limit
    private func nextVictims(
        of organization: OrganizationID,
        isFirst: Bool,
        on transaction: some Queryable
    ) async throws -> [PruneCandidate] {
        guard let quota = try await quotas.find(of: organization, on: transaction) else { return [] }
        let usage = try await usages.usage(of: organization, on: transaction)
        let oversized = try await pruning.oversizedBytes(of: organization, on: transaction)
        let deficit = usage.liveBytes - oversized - quota.limitBytes
        guard deficit > 0 else { return [] }
        var graph = PruneGraph()
        var names: [String: Int] = [:]
        var limit = Self.endedTogether
        while true {
            let candidates = try await pruning.candidates(of: organization, sparing: nil, limit: limit, on: transaction)
            for start in stride(from: 0, to: candidates.count, by: Self.loadedTogether) {
                try await pruning.load(
                    Array(candidates[start..<min(start + Self.loadedTogether, candidates.count)]),
                    of: organization,
                    isSparingOversized: true,
                    into: &graph,
                    names: &names,
                    on: transaction
                )
            }
            let idle = candidates.filter { !$0.isInFlight }
            if !isFirst || PruneRules.freed(by: idle, in: graph) >= deficit,
                let victims = PruneRules.firstVictims(
                    among: idle,
                    freeing: deficit,
                    count: Self.endedTogether,
                    in: graph
                )
            {
                return victims
            }
            guard candidates.count == limit else { return [] }
            limit *= 10
        }
    }
}
