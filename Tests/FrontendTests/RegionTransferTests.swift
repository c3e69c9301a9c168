// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Frontend

@Suite("Region transfer", .timeLimit(.minutes(1)))
struct RegionTransferTests {
    @Test("pieces begin at 4 MiB, are never larger than all before them, and end growing at 64 MiB")
    func pieces() {
        var gone = 0
        var mebibytes: [Int] = []
        while mebibytes.count < 8 {
            let bytes = RegionTransfer.pieceBytes(after: gone)
            mebibytes.append(bytes >> 20)
            gone += bytes
        }
        #expect(mebibytes == [4, 4, 8, 16, 32, 64, 64, 64])
    }

    @Test("what has as much left as at the looks before has stalled")
    func stall() {
        var watch = StallWatch(looks: 1)
        #expect([9, 8, 8, 7, 0, 0].map { watch.isStalled(waiting: $0) } == [false, false, true, false, false, true])
        var patient = StallWatch(looks: 2)
        #expect([9, 9, 8, 8, 8, 8].map { patient.isStalled(waiting: $0) } == [false, false, false, false, true, true])
    }

    /// Sends a file of that many bytes to a client that reads it, or doesn't.
    /// - Returns: bytes that the sender counted, bytes that a reading client got after the head, and why it ended early
    private func send(
        _ size: Int,
        isRead: Bool,
        deadline: Duration
    ) async throws -> (sent: Int64, received: Int, error: (any Error)?) {
        let folder = try TemporaryDirectory(isInMemory: true)
        let path = folder.path + "/file"
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        #expect(truncate(path, off_t(size)) == 0)
        let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: open(path, O_RDONLY))
        let group = MultiThreadedEventLoopGroup.singleton
        let server = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
                try channel.pipeline.syncOperations.addHandlers(
                    HTTP1ToHTTPServerCodec(secure: false),
                    FileRegionHandler()
                )
                return channel
            }
        }
        let received = Atomic(0)
        let client = try await ClientBootstrap(group: group)
            .channelOption(.autoRead, value: isRead)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ByteCounter { received.add($0, ordering: .relaxed) })
                }
            }
            .connect(to: #require(server.channel.localAddress)).get()
        return try await server.executeThenClose { connections in
            var iterator = connections.makeAsyncIterator()
            let channel = try #require(try await iterator.next())
            let head = HTTPResponse(status: .ok, headerFields: [.contentLength: "\(size)"])
            try await channel.writeAndFlush(HTTPResponsePart.head(head)).get()
            let sent = SentBytes()
            let region = FileRegion(fileHandle: handle, readerIndex: 0, endIndex: size)
            let order = SendFileRegion(region: region, sent: sent, deadline: deadline)
            var error: (any Error)?
            do { try await channel.triggerUserOutboundEvent(order).get() } catch let thrown { error = thrown }
            try handle.close()
            channel.close(promise: nil)
            if isRead { try await client.closeFuture.get() } else { try await client.close().get() }
            return (sent.bytes, received.load(ordering: .relaxed), error)
        }
    }

    @Test("a client that reads gets all of it, and it is counted", arguments: [1, 4 << 20, 100_000_001])
    func whole(_ size: Int) async throws {
        let (sent, received, error) = try await send(size, isRead: true, deadline: .seconds(60))
        #expect(error == nil)
        #expect(sent == Int64(size))
        #expect(received > size)
    }

    @Test("a client that takes nothing loses its connection, and isn't counted as served")
    func stalled() async throws {
        let size = 1 << 30
        let (sent, _, error) = try await send(size, isRead: false, deadline: .milliseconds(20))
        #expect(error != nil)
        #expect(sent < size)
    }
}

/// Tells how many bytes come.
private final class ByteCounter: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let note: @Sendable (Int) -> Void

    init(_ note: @escaping @Sendable (Int) -> Void) { self.note = note }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { note(unwrapInboundIn(data).readableBytes) }
}
