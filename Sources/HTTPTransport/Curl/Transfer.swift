// SPDX-License-Identifier: Apache-2.0

import CCurl
import HTTPTypes
import Synchronization

/// One exchange. Its mutable part belongs to the driver's thread.
///
/// `@unchecked`: everything that changes is touched by curl's callbacks and by the driver, both on the driver's thread,
/// after the transfer was handed over through the driver's mutex. What other threads use is immutable and `Sendable`.
final class Transfer: @unchecked Sendable {
    enum Receiver {
        case buffer(BodyBuffer)
        case sink(any ResponseSink)
    }

    private static let nextID = Atomic<UInt64>(1)

    let id = nextID.add(1, ordering: .relaxed).oldValue
    let request: HTTPTransportRequest
    let head = Milestone<HTTPTransportHead>()
    let end = Milestone<HTTPTransportHead>()
    private let receiver: Receiver
    /// Set before the hand-over.
    var upload: UploadPump?

    // On the driver's thread only.
    var easy: EasyHandle?
    /// The driver's.
    var gatherer: PieceGatherer?
    var parser: HeadParser
    var policy: AddressPolicy?
    var host = ""
    var startedAt = ContinuousClock.now
    var lastActivity = ContinuousClock.now
    var isPaused = false
    var refusedAddress: String?
    /// Why we ended it ourselves.
    var failure: (any Error)?
    private var receivedHead: HTTPTransportHead?
    private var uploadOffset = 0

    init(_ request: HTTPTransportRequest, _ receiver: Receiver) {
        self.request = request
        self.receiver = receiver
        self.parser = HeadParser(maximumBytes: 0)
    }

    var hasHead: Bool { receivedHead != nil }

    // MARK: - Curl's callbacks

    /// One header line. False ends the transfer.
    func header(_ line: UnsafeRawBufferPointer) -> Bool {
        lastActivity = .now
        guard receivedHead == nil else { return true }  // trailers
        do {
            guard let head = try parser.append(line, peer: easy?.peerAddress) else { return true }
            receivedHead = head
            if case .sink(let sink) = receiver { try sink.begin(head) }
            self.head.reach(.success(head))
            return true
        } catch {
            failure = error
            return false
        }
    }

    enum Taken { case all, pause, none }

    func body(_ bytes: UnsafeRawBufferPointer) -> Taken {
        defer { lastActivity = .now }
        switch receiver {
        case .sink:
            guard let gatherer else { return .none }
            gatherer.add(bytes, of: self)
            return failure == nil ? .all : .none
        case .buffer(let buffer):
            if buffer.offer(bytes) { return .all }
            isPaused = true
            return .pause
        }
    }

    /// Gives gathered pieces of the body to the sink. What it throws ends the transfer.
    func deliver(_ bytes: UnsafeRawBufferPointer) {
        guard case .sink(let sink) = receiver, failure == nil else { return }
        do {
            try sink.write(bytes)
        } catch {
            failure = error
        }
        lastActivity = .now  // afterwards: what the sink took isn't the server's time
    }

    func supply(_ room: UnsafeMutableRawBufferPointer) -> UploadPump.Supply {
        lastActivity = .now
        switch request.body {
        case .bytes(let bytes):
            let count = min(room.count, bytes.count - uploadOffset)
            room.copyBytes(from: bytes[uploadOffset..<uploadOffset + count])
            uploadOffset += count
            return count == 0 ? .end : .bytes(count)
        case .stream:
            return upload?.supply(room) ?? .end
        case nil:
            return .end
        }
    }

    // MARK: - The end

    func finish(_ error: (any Error)?) {
        upload?.stop()
        // Of a body that can't be made only a transfer suffers that isn't over without it.
        let failure = failure ?? error.map { upload?.error ?? $0 }
        let result: Result<HTTPTransportHead, any Error>
        if let failure {
            result = .failure(failure)
        } else if let receivedHead {
            result = .success(receivedHead)
        } else {
            result = .failure(HTTPTransportError(.protocolError, "\(host) closed the connection without an answer"))
        }
        head.reach(result)
        end.reach(result)
        if case .buffer(let buffer) = receiver { buffer.finish(result.map { _ in }) }
    }
}
