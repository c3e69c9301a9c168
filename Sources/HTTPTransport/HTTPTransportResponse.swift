// SPDX-License-Identifier: Apache-2.0

/// A response whose body is still on its way.
package struct HTTPTransportResponse: Sendable {
    package let head: HTTPTransportHead
    /// To be read once. Letting go of it unread ends the transfer.
    package let body: HTTPTransportBodySequence

    /// The whole body.
    /// Throws ``HTTPTransportError`` `bodyTooLarge` beyond the limit (and ends the transfer), or what broke the transfer.
    package func collect(upTo limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await chunk in body {
            guard bytes.count + chunk.count <= limit else {
                throw HTTPTransportError(.bodyTooLarge, "the body is larger than \(limit) bytes")
            }
            bytes += chunk
        }
        return bytes
    }
}

/// Chunks of a response body. At most a quarter of a mebibyte waits unread; beyond that the sender has to wait.
package struct HTTPTransportBodySequence: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    private let owner: Owner

    init(_ buffer: BodyBuffer) { owner = Owner(buffer) }

    package func makeAsyncIterator() -> Iterator { Iterator(owner: owner) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let owner: Owner

        package mutating func next() async throws -> [UInt8]? { try await owner.buffer.next() }
    }

    /// Ends the transfer when the last sequence and iterator are gone.
    fileprivate final class Owner: Sendable {
        let buffer: BodyBuffer

        init(_ buffer: BodyBuffer) { self.buffer = buffer }

        deinit { buffer.abandon() }
    }
}
