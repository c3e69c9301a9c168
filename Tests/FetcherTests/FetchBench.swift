// SPDX-License-Identifier: Apache-2.0

import Blobs
import HTTPTransport
import HTTPTypes
import Logging
import Models
import OCI
import Synchronization
import TestSupport
import Testing
import Upstream

@testable import Fetcher

/// A storage of its own, and a blob that is going to arrive in it.
struct FetchBench {
    static let repository = "team/app"

    let storage: FileBlobStorage
    let blob: BlobFixture
    let digest: Digest
    let generation = Generation()
    private let folder: TemporaryDirectory

    init(seed: UInt64 = 1, size: Int64, algorithm: Digest.Algorithm = .sha256) throws {
        folder = try TemporaryDirectory(isInMemory: true)
        storage = try FileBlobStorage(root: folder.path)
        blob = BlobFixture(seed: seed, size: size)
        digest = blob.digest(algorithm)
    }

    func fetch(size: Int64? = nil) throws -> BlobFetch {
        BlobFetch(
            organization: OrganizationID(rawValue: 1),
            upstream: ProxyCacheConfig.sample.upstream.baseURL,
            repository: try RepositoryName(Self.repository),
            digest: digest,
            sizeBytes: size ?? blob.size
        )
    }

    /// A partial that holds the first bytes of the blob.
    func writer(holding count: Int64 = 0) throws -> any PartialWriter {
        let writer = try storage.createPartial(digest, generation, expectedBytes: blob.size)
        try writer.append(blob.bytes(0..<count))
        return writer
    }

    /// Has the upstream offer the blob.
    func offer(at upstream: ScriptedUpstream) {
        var image = ImageFixture(bytes: Array("{}".utf8), mediaType: ImageFixture.ociManifest)
        image.blobs = [.generated(blob, digest)]
        upstream.add(image, to: Self.repository)
    }
}

/// A download of the bench's blob from a scripted upstream.
struct DownloadBench {
    let upstream: ScriptedUpstream
    let writer: any PartialWriter
    /// Entity tags that the download wanted to be remembered.
    let remembered = Remembered()
    private var download: BlobDownload
    private let transport: HTTPTransport

    final class Remembered: Sendable {
        private let tags = Mutex<[String?]>([])
        var all: [String?] { tags.withLock { $0 } }
        func append(_ tag: String?) { tags.withLock { $0.append(tag) } }
    }

    init(
        _ bench: FetchBench,
        from upstream: ScriptedUpstream,
        into writer: any PartialWriter,
        validator: String? = nil,
        size: Int64? = nil
    ) throws {
        self.upstream = upstream
        self.writer = writer
        let logger = Logger(label: "fetcher-tests") { _ in SwiftLogNoOpLogHandler() }
        let configuration = HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none)
        transport = HTTPTransport(configuration, logger: logger)
        let fetch = try bench.fetch(size: size)
        let repository = UpstreamRepository(
            address: UpstreamAddress(registry: upstream.host, namespace: nil, isInsecure: true),
            name: fetch.repository,
            organization: fetch.organization,
            generation: 1
        )
        let client = UpstreamClient(
            api: transport,
            blobTransports: [transport],
            governor: LenientGovernor(),
            credentials: FixedCredentials()
        )
        download = BlobDownload(
            fetch: fetch,
            repository: repository,
            writer: writer,
            validator: validator,
            transfer: { try await client.blob(fetch.digest, in: repository, from: $0, into: $1) },
            logger: logger,
            remember: { [remembered] in remembered.append($0) }
        )
    }

    var maximumFruitlessTries: Int {
        get { download.maximumFruitlessTries }
        set { download.maximumFruitlessTries = newValue }
    }

    func run() async throws -> Digest { try await download.run() }

    /// `Range` of each request for the blob, in order; nil for those that asked for everything.
    var ranges: [String?] { requests.map { $0.headers[.range] } }

    var conditions: [String?] { requests.map { $0.headers[.ifRange] } }

    private var requests: [ScriptedUpstream.RecordedRequest] {
        upstream.requests.filter { $0.path.contains("/blobs/") }
    }
}

extension BlobReader {
    /// As many bytes of the range as there are.
    func bytes(_ range: Range<Int64>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            count = try read(into: UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
        }
    }
}

extension PartialWriter {
    func append(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try append($0) }
    }
}

/// Expects a failure of this cause, and returns it.
@discardableResult
func expect(
    _ cause: FetchFailure.Cause,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async -> FetchFailure? {
    let failure = await #expect(throws: FetchFailure.self, sourceLocation: sourceLocation) { try await body() }
    #expect(failure == nil || failure?.cause == cause, sourceLocation: sourceLocation)
    return failure
}
