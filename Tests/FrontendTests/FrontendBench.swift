// SPDX-License-Identifier: Apache-2.0

import Blobs
import HTTPTypes
import HummingbirdCore
import Jobs
import Logging
import Models
import NIOCore
import NIOHTTPTypes
import NIOPosix
import OCI
import Postgres
import PullThrough
import TestSupport
import Testing

@testable import Frontend

/// What a reply wrote.
struct WrittenReply: Sendable {
    var head: HTTPResponse?
    var body: [UInt8] = []
    /// The message was ended, so that the client takes it for whole.
    var isEnded = false
    /// Why it wasn't.
    var failure: (any Error)?
    /// Size of the largest piece that was copied.
    var largestPiece = 0
}

extension Reply {
    /// Writes the reply to nowhere.
    func written(isHead: Bool = false) async throws -> WrittenReply {
        let (writer, sink) = NIOAsyncChannelOutboundWriter<HTTPResponsePart>.makeTestingWriter()
        var written = WrittenReply()
        do {
            try await Self.withChannel { channel in
                let body = responseBody(on: channel, isHead: isHead)
                try await ResponseWriter(outbound: writer).write(response: head, body: body)
            }
        } catch {
            written.failure = error
        }
        writer.finish()
        for await part in sink {
            switch part {
            case .head(let head): written.head = head
            case .body(let buffer):
                written.body += buffer.readableBytesView
                written.largestPiece = max(written.largestPiece, buffer.readableBytes)
            case .end: written.isEnded = true
            }
        }
        return written
    }

    /// A channel that exists; bytes that are copied need no more of it.
    private static func withChannel(_ body: (any Channel) async throws -> Void) async throws {
        let bootstrap = DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        let channel = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
        let result: Result<Void, any Error>
        do { result = .success(try await body(channel)) } catch { result = .failure(error) }
        try await channel.close()
        try result.get()
    }
}

/// A blob in a storage of its own, whole or arriving.
struct FrontendBench {
    let storage: FileBlobStorage
    let blob: BlobFixture
    let digest: Digest
    let follower: BlobFollower
    private let folder: TemporaryDirectory

    init(size: Int64) throws {
        folder = try TemporaryDirectory(isInMemory: true)
        storage = try FileBlobStorage(root: folder.path + "/storage")
        blob = BlobFixture(seed: 1, size: size)
        digest = blob.digest()
        // Nobody runs the follower, so the database that isn't there isn't reached; the tests bring the news.
        let logger = Logger(label: "frontend-tests") { _ in SwiftLogNoOpLogHandler() }
        let database = PostgresConfiguration(connectionString: "host='\(folder.path)'")
        let client = PostgresClient(database, logger: logger)
        follower = BlobFollower(
            client: client,
            storage: storage,
            notifier: JobNotifier(client: client, logger: logger),
            hub: ChangeHub(database, logger: logger),
            logger: logger
        )
    }

    func join() throws -> BlobFollowHandle {
        follower.join(
            BlobFetch(
                organization: OrganizationID(rawValue: 1),
                upstream: ProxyCacheConfig.sample.upstream.baseURL,
                repository: try RepositoryName("team/app"),
                digest: digest,
                sizeBytes: blob.size
            )
        )
    }

    /// Begins a partial that holds these bytes, and opens it for readers.
    func partial(_ bytes: [UInt8]) throws -> (writer: any PartialWriter, reader: any PartialReader) {
        let generation = Generation()
        let writer = try storage.createPartial(digest, generation, expectedBytes: blob.size)
        try bytes.withUnsafeBytes { try writer.append($0) }
        return (writer, try #require(try storage.openPartial(digest, generation)))
    }

    /// Publishes the blob.
    func stored() throws -> any BlobReader {
        let (writer, _) = try partial(blob.bytes)
        try writer.markVerified()
        try writer.publish()
        writer.close()
        return try storage.open(
            BlobPlacement(digest: digest, generation: writer.generation, sizeBytes: blob.size)
        )
    }

    func reply(_ source: BlobBody.Source, _ parts: [BlobBody.Part]) -> Reply {
        let body = BlobBody(
            source: source,
            parts: parts,
            organization: OrganizationID(rawValue: 1),
            deadline: .seconds(60),
            canSendFiles: false
        )
        return Reply(status: 200, body: .blob(body))
    }
}
