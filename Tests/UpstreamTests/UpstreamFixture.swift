// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import Logging
import Models
import OCI
import Synchronization
import TestSupport
import Testing
import Upstream

extension UpstreamRepository {
    /// `org/app` of an upstream.
    static func sample(
        _ upstream: String = "registry.example",
        organization: Int64 = 1,
        generation: Int64 = 1,
        realmHosts: [String] = []
    ) -> UpstreamRepository {
        guard let address = try? UpstreamAddress(parsing: upstream), let name = RepositoryName(rawValue: "org/app")
        else {
            preconditionFailure("\(upstream) is no upstream")
        }
        return UpstreamRepository(
            address: address,
            name: name,
            organization: OrganizationID(rawValue: organization),
            generation: generation,
            realmHosts: realmHosts
        )
    }
}

/// Runs `body` with an upstream, a client that may talk to it, and the repository `org/app` there.
func withUpstream<Result: Sendable>(
    deadlines: UpstreamClient.Deadlines = .init(),
    allowed: [String] = ["127.0.0.1", "localhost"],
    credentials: UpstreamCredentials? = nil,
    _ body: (ScriptedUpstream, UpstreamClient, UpstreamRepository) async throws -> Result
) async throws -> Result {
    let policy = AddressPolicy(allowed: try allowed.map { try AllowedUpstream($0) })
    let configuration = HTTPTransportConfiguration(addressPolicy: policy, proxies: .none)
    let logger = Logger(label: "upstream-tests")
    let transports = (0..<3).map { _ in HTTPTransport(configuration, logger: logger) }
    defer { for transport in transports { transport.shutdown() } }
    let client = UpstreamClient(
        api: transports[0],
        blobTransports: Array(transports[1...]),
        governor: LenientGovernor(),
        credentials: FixedCredentials(credentials),
        deadlines: deadlines
    )
    return try await ScriptedUpstream.with { upstream in
        try await body(upstream, client, .sample(upstream.url))
    }
}

/// The failure that an exchange ends in.
func failure(_ exchange: () async throws -> Void) async throws -> FetchFailure {
    try await #require(throws: FetchFailure.self) { try await exchange() }
}

/// Keeps the bytes of a blob and what was said about each transfer.
final class CollectingSink: BlobSink {
    private let state = Mutex((transfers: [BlobTransfer](), bytes: [UInt8]()))
    private let onWrite: @Sendable () throws -> Void

    init(onWrite: @escaping @Sendable () throws -> Void = {}) { self.onWrite = onWrite }

    var transfers: [BlobTransfer] { state.withLock { $0.transfers } }
    var bytes: [UInt8] { state.withLock { $0.bytes } }

    func begin(_ transfer: BlobTransfer) throws { state.withLock { $0.transfers.append(transfer) } }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try onWrite()
        state.withLock { $0.bytes += bytes }
    }
}

extension Reference {
    static func tag(_ text: String) throws -> Reference { .tag(try #require(TagName(rawValue: text))) }
}
