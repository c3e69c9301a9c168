// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTP1

/// One file region on its way to a client, on the event loop of its connection.
///
/// It goes in pieces, so that it is known how much a client got that leaves. Each piece costs about as much as a megabyte
/// does, so they grow: none is larger than all before it together.
final class RegionTransfer {
    private static let pieceBytes = 4 * 1024 * 1024...64 * 1024 * 1024
    /// How often a client is looked at within its deadline.
    private static let looks = 4

    /// Where body parts are written: above it nothing takes regions.
    private let codec: ChannelHandlerContext
    private let sent: SentBytes
    private let interval: TimeAmount
    private let promise: EventLoopPromise<Void>?
    private var gone = 0
    /// What hasn't been handed to the connection.
    private var rest: FileRegion
    private var stall = StallWatch(looks: RegionTransfer.looks)
    private var timer: Scheduled<Void>?

    init(_ order: SendFileRegion, through codec: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
        self.codec = codec
        self.sent = order.sent
        self.interval = TimeAmount(order.deadline / Self.looks)
        self.promise = promise
        self.rest = order.region
    }

    func begin() {
        lookLater()
        writeMore()
    }

    static func pieceBytes(after gone: Int) -> Int { max(pieceBytes.lowerBound, min(gone, pieceBytes.upperBound)) }

    private func writeMore() {
        let bytes = min(Self.pieceBytes(after: gone), rest.readableBytes)
        let start = rest.readerIndex
        let piece = FileRegion(fileHandle: rest.fileHandle, readerIndex: start, endIndex: start + bytes)
        rest.moveReaderIndex(forwardBy: bytes)
        let written = codec.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { self.hasGone(bytes, $0) }
        codec.writeAndFlush(NIOAny(HTTPServerResponsePart.body(.fileRegion(piece))), promise: written)
    }

    private func hasGone(_ bytes: Int, _ result: Result<Void, any Error>) {
        if case .success = result {
            gone += bytes
            sent.add(Int64(bytes))
            if rest.readableBytes > 0 { return writeMore() }
        }
        timer?.cancel()
        promise?.completeWith(result)
    }

    private func lookLater() {
        timer = codec.eventLoop.assumeIsolated().scheduleTask(in: interval) { self.look() }
    }

    /// A client that takes no byte for so long has gone without saying so.
    private func look() {
        let buffered = try? codec.channel.syncOptions?.getOption(.bufferedWritableBytes)
        guard stall.isStalled(waiting: rest.readableBytes + (buffered ?? 0)) else { return lookLater() }
        codec.channel.close(promise: nil)
    }
}

/// Whether something moves, looked at now and then.
struct StallWatch {
    /// In a row that have to find the same.
    private let looks: Int
    private var last: Int?
    private var unchanged = 0

    init(looks: Int) { self.looks = looks }

    /// - Parameter waiting: bytes that are still to be moved
    /// - Returns: whether they were as many at each of the last looks
    mutating func isStalled(waiting: Int) -> Bool {
        unchanged = waiting == last ? unchanged + 1 : 0
        last = waiting
        return unchanged >= looks
    }
}
