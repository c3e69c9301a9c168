// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Metrics
import Models
import OCI
import Synchronization

/// Where a blob's transfer begins.
package struct BlobStart: Sendable, Hashable {
    package let offset: Int64
    /// Strong entity tag of the representation whose bytes are stored already.
    package let validator: String?

    package init(offset: Int64, validator: String?) {
        self.offset = offset
        self.validator = validator
    }
}

/// What upstream is going to send.
package struct BlobTransfer: Sendable, Hashable {
    /// Offset of the first byte: the one asked for, or 0 when upstream starts over.
    package let offset: Int64
    /// Size of the whole blob, if upstream says it.
    package let totalBytes: Int64?
    /// Strong entity tag, for a later resume.
    package let validator: String?
}

/// Takes a blob's bytes, on the transport's own thread, straight from its buffer.
package protocol BlobSink: AnyObject, Sendable {
    /// Once per transfer, before its bytes. Throwing ends the transfer.
    func begin(_ transfer: BlobTransfer) throws
    func write(_ bytes: UnsafeRawBufferPointer) throws
}

/// Lets through to the sink what is the blob, and swallows what isn't (redirects, challenges, error pages).
final class BlobGate: ResponseSink {
    /// Ends a response that isn't the blob and goes on too long; its head is all that matters of it.
    struct Unwanted: Error {
        let head: HTTPTransportHead
    }

    private static let maximumSwallowedBytes = 64 * 1024

    private let what: String
    private let repository: UpstreamRepository
    private let start: BlobStart
    private let sink: any BlobSink
    private let meter: (any UpstreamMeter)?
    private let received: Counter
    /// The current response and how much of it was swallowed; nil while the sink gets it.
    private let swallowed = Mutex<(head: HTTPTransportHead, bytes: Int)?>(nil)

    init(
        what: String,
        repository: UpstreamRepository,
        start: BlobStart,
        sink: any BlobSink,
        meter: (any UpstreamMeter)?,
        received: Counter
    ) {
        self.received = received
        self.what = what
        self.repository = repository
        self.start = start
        self.sink = sink
        self.meter = meter
    }

    func begin(_ head: HTTPTransportHead) throws {
        switch head.status {
        case 200:
            swallowed.withLock { $0 = nil }
            let length = head.headers[.contentLength].flatMap(Int64.init)
            try sink.begin(BlobTransfer(offset: 0, totalBytes: length, validator: Self.strongTag(head)))
        case 206:
            swallowed.withLock { $0 = nil }
            guard let range = ContentRange(head.headers[.contentRange]), range.first == start.offset else {
                throw FetchFailure(
                    .upstreamError,
                    "\(repository): \(what): a part was sent that wasn't asked for",
                    upstreamStatus: head.status
                )
            }
            try sink.begin(
                BlobTransfer(offset: range.first, totalBytes: range.total, validator: Self.strongTag(head))
            )
        default:
            swallowed.withLock { $0 = (head, 0) }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        let isSwallowed = try swallowed.withLock { swallowed in
            guard let (head, count) = swallowed else { return false }
            guard count + bytes.count <= Self.maximumSwallowedBytes else { throw Unwanted(head: head) }
            swallowed = (head, count + bytes.count)
            return true
        }
        guard !isSwallowed else { return }
        meter?.received(bytes.count, for: repository.organization)
        received.increment(by: bytes.count)
        try sink.write(bytes)
    }

    /// Only a strong tag may go into If-Range (RFC 9110 section 13.1.5).
    private static func strongTag(_ head: HTTPTransportHead) -> String? {
        guard let tag = head.headers[.eTag], tag.hasPrefix("\""), tag.hasSuffix("\""), tag.utf8.count <= 512 else {
            return nil
        }
        return tag
    }
}

/// `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110 section 14.4).
struct ContentRange: Hashable {
    let first: Int64
    let total: Int64?

    /// Nil for anything but one well-formed byte range.
    init?(_ value: String?) {
        guard let value, value.hasPrefix("bytes ") else { return nil }
        let parts = value.dropFirst("bytes ".count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let bounds = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard bounds.count == 2, let first = Int64(bounds[0]), let last = Int64(bounds[1]), first >= 0, first <= last
        else { return nil }
        if parts[1] == "*" {
            self.total = nil
        } else {
            guard let total = Int64(parts[1]), total > last else { return nil }
            self.total = total
        }
        self.first = first
    }
}
