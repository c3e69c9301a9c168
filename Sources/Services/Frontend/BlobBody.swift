// SPDX-License-Identifier: Apache-2.0

import Blobs
import Glibc
import HummingbirdCore
import Models
import NIOCore
import OCI
import PullThrough
import Synchronization

/// The bytes of a blob that one response sends: stored ones, or ones that are still arriving.
struct BlobBody: Sendable {
    enum Source: Sendable {
        case stored(any BlobReader)
        case arriving(BlobFollowHandle)
    }

    enum Part: Sendable {
        case slice(Range<Int64>)
        /// Text between the parts of a multipart body.
        case text([UInt8])
    }

    let source: Source
    let parts: [Part]
    /// Whose client gets it; nil for somebody who is no client.
    let organization: OrganizationID?
    let deadline: Duration
    /// The connection is plain HTTP/1: nothing has to touch the bytes on their way.
    let canSendFiles: Bool
    let sent = SentBytes()

    @concurrent
    func write(to writer: inout any ResponseBodyWriter, on channel: any Channel) async throws {
        var sender = RegionSender(channel: channel, deadline: deadline, canSendFiles: canSendFiles, sent: sent)
        defer { sender.close() }
        switch source {
        case .stored(let reader):
            for part in parts {
                switch part {
                case .text(let text): try await writer.write(ByteBuffer(bytes: text))
                case .slice(let slice): try await sender.send(slice, of: reader, to: &writer)
                }
            }
        case .arriving(let handle):
            var attempt = Attempt()
            for part in parts {
                switch part {
                case .text(let text): try await writer.write(ByteBuffer(bytes: text))
                case .slice(let slice):
                    try await send(slice, of: handle.follow, after: &attempt, through: &sender, to: &writer)
                }
            }
        }
    }

    /// Where this response's bytes have come from so far.
    private struct Attempt {
        var source: (any BlobReader)?
        var ranges: [Range<Int64>] = []

        /// Whether the other attempt has what was sent of this one.
        func isSame(as other: any BlobReader) async throws -> Bool {
            guard let source, source !== other else { return true }
            for range in ranges {
                guard try await PrefixComparison.isSame(source, other, in: range) else { return false }
            }
            return true
        }
    }

    /// Sends the slice as it arrives. When the fetch had to begin anew, goes on only if what this client has been sent,
    /// of this slice and of those before, is what the new attempt has, too.
    @concurrent
    private func send(
        _ slice: Range<Int64>,
        of follow: BlobFollow,
        after attempt: inout Attempt,
        through sender: inout RegionSender,
        to writer: inout any ResponseBodyWriter
    ) async throws {
        var sent = slice.lowerBound
        attempt.ranges.append(sent..<sent)
        while sent < slice.upperBound {
            let window = try await follow.window(beyond: sent)
            guard try await attempt.isSame(as: window.source) else {
                throw FetchFailure(.badContent, "blob \(follow.fetch.digest) began anew with other bytes")
            }
            attempt.source = window.source
            let end = min(window.end, slice.upperBound)
            try await sender.send(sent..<end, of: window.source, to: &writer)
            sent = end
            attempt.ranges[attempt.ranges.count - 1] = slice.lowerBound..<sent
        }
    }
}

/// Counts bytes of a blob that went to a client; a client that leaves early has got some of them.
final class SentBytes: Sendable {
    private let count = Atomic<Int64>(0)

    var bytes: Int64 { count.load(ordering: .relaxed) }

    func add(_ bytes: Int64) { count.add(bytes, ordering: .relaxed) }
}

/// Sends parts of files: by `sendfile` where channel and storage can, else by copying.
struct RegionSender {
    /// As much waits in memory for each client whose bytes are copied.
    private static let copyBytes = 64 * 1024

    private let channel: any Channel
    private let deadline: Duration
    private let canSendFiles: Bool
    private let sent: SentBytes
    private var open: (reader: any BlobReader, handle: NIOFileHandle)?

    init(channel: any Channel, deadline: Duration, canSendFiles: Bool, sent: SentBytes) {
        self.channel = channel
        self.deadline = deadline
        self.canSendFiles = canSendFiles
        self.sent = sent
    }

    @concurrent
    mutating func send(
        _ range: Range<Int64>,
        of reader: any BlobReader,
        to writer: inout any ResponseBodyWriter
    ) async throws {
        guard canSendFiles, let handle = try handle(of: reader) else {
            return try await copy(range, of: reader, to: &writer)
        }
        guard !range.isEmpty else { return }
        let region = FileRegion(
            fileHandle: handle,
            readerIndex: Int(range.lowerBound),
            endIndex: Int(range.upperBound)
        )
        let order = SendFileRegion(region: region, sent: sent, deadline: deadline)
        try await channel.triggerUserOutboundEvent(order).get()
    }

    mutating func close() {
        // The descriptor is a copy that only reads: there is nothing that closing it could lose.
        _ = try? open?.handle.close()
        open = nil
    }

    private mutating func handle(of reader: any BlobReader) throws -> NIOFileHandle? {
        if let open, open.reader === reader { return open.handle }
        guard let descriptor = reader.descriptor else { return nil }
        close()
        let copy = dup(descriptor)
        guard copy >= 0 else { throw IOError(errnoCode: errno, reason: "dup") }
        let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: copy)
        open = (reader, handle)
        return handle
    }

    /// A client that takes no byte for so long has gone without saying so.
    private func patience() -> Scheduled<Void> {
        let channel = channel
        return channel.eventLoop.scheduleTask(in: TimeAmount(deadline)) { channel.close(promise: nil) }
    }

    @concurrent
    private func copy(
        _ range: Range<Int64>,
        of reader: any BlobReader,
        to writer: inout any ResponseBodyWriter
    ) async throws {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = Int(min(Int64(Self.copyBytes), range.upperBound - offset))
            var buffer = channel.allocator.buffer(capacity: count)
            let read = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
                try reader.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), at: offset)
            }
            guard read == count else { throw FetchFailure(.cache, "a stored blob ends before its size") }
            let timer = patience()
            defer { timer.cancel() }
            try await writer.write(buffer)
            sent.add(Int64(count))
            offset += Int64(count)
        }
    }
}
