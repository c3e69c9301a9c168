// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Synchronization

/// A TCP server of the loopback address that does on each connection what a test tells it to, whether that is HTTP or
/// not. Every connection has a thread of its own, so a script may block.
package final class RawServer: Sendable {
    /// What is done on a connection, which ends when it returns or throws.
    package typealias Script = @Sendable (RawConnection) throws -> Void

    private struct State {
        var requests: [RawRequest] = []
        var accepted = 0
        var open: [Int: RawConnection] = [:]
        var isEnding = false
        var idle: CheckedContinuation<Void, Never>?
    }

    package let port: Int
    private let listener: Int32
    private let script: Script
    private let state = Mutex(State())

    /// Runs a server while `body` runs.
    package static func with<Result>(
        _ script: @escaping Script,
        _ body: (RawServer) async throws -> Result
    ) async throws -> Result {
        let server = try RawServer(script)
        server.start()
        do {
            let result = try await body(server)
            await server.end()
            return result
        } catch {
            await server.end()
            throw error
        }
    }

    private init(_ script: @escaping Script) throws {
        (listener, port) = try RawSocket.listen(backlog: 64)
        self.script = script
    }

    package var url: String { "http://127.0.0.1:\(port)" }

    /// Requests that were read whole, in the order of their ends.
    package var requests: [RawRequest] { state.withLock { $0.requests } }
    /// Connections that came.
    package var accepted: Int { state.withLock { $0.accepted } }
    /// Connections that are not over.
    package var open: Int { state.withLock { $0.open.count } }

    fileprivate func record(_ request: RawRequest) { state.withLock { $0.requests.append(request) } }

    private func start() {
        let thread = Thread { [self] in
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { break }
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                serve(descriptor)
            }
            close(listener)
        }
        thread.start()
    }

    private func serve(_ descriptor: Int32) {
        let connection = state.withLock { state in
            state.accepted += 1
            let connection = RawConnection(descriptor, number: state.accepted, server: self)
            state.open[connection.number] = connection
            if state.isEnding { connection.end() }
            return connection
        }
        let thread = Thread { [self] in
            do { try script(connection) } catch {}  // a connection that broke is over, as any other
            connection.close()
            let idle = state.withLock { state in
                state.open[connection.number] = nil
                guard state.open.isEmpty else { return nil as CheckedContinuation<Void, Never>? }
                defer { state.idle = nil }
                return state.idle
            }
            idle?.resume()
        }
        thread.start()
    }

    private func end() async {
        shutdown(listener, Int32(SHUT_RDWR))
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                state.isEnding = true
                for connection in state.open.values { connection.end() }
                if !state.open.isEmpty { state.idle = continuation }
                return state.open.isEmpty
            }
            if isIdle { continuation.resume() }
        }
    }
}

/// One request as it came.
package struct RawRequest: Sendable {
    /// Request line and fields, without the empty line.
    package let head: String
    package internal(set) var body: [UInt8] = []

    /// Request line and fields, one by one.
    package var lines: [String] { head.components(separatedBy: "\r\n") }
    package var line: String { lines[0] }

    /// Values of the fields of a name, in their order.
    package func values(_ name: String) -> [String] {
        lines.dropFirst().compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].lowercased() == name.lowercased() else { return nil }
            return parts[1].trimmingCharacters(in: .whitespaces)
        }
    }
}

/// One connection, from the server's side. Its methods throw when the client has gone.
package final class RawConnection: Sendable {
    private struct Gone: Error {}

    /// Counts from one.
    package let number: Int
    private let descriptor: Int32
    private let server: RawServer
    private let isOpen = Mutex(true)
    /// Bytes that were received and not used yet.
    private let received = Mutex<[UInt8]>([])

    fileprivate init(_ descriptor: Int32, number: Int, server: RawServer) {
        self.descriptor = descriptor
        self.number = number
        self.server = server
    }

    /// The next request with its body.
    @discardableResult
    package func request() throws -> RawRequest {
        var request = RawRequest(head: try head())
        if let length = request.values("Content-Length").first.flatMap({ Int($0) }) {
            request.body = try take(length)
        } else if request.values("Transfer-Encoding").contains("chunked") {
            while true {
                let size = Int(try takeLine(), radix: 16) ?? 0
                request.body += try take(size)
                _ = try takeLine()
                if size == 0 { break }
            }
        }
        server.record(request)
        return request
    }

    /// Request line and fields of the next request; its body stays unread.
    @discardableResult
    package func head() throws -> String {
        let end = try offset(of: Array("\r\n\r\n".utf8))
        return String(decoding: try take(end + 4).dropLast(4), as: UTF8.self)
    }

    package func send(_ text: String) throws { try send(Array(text.utf8)) }

    package func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Gone() }
            sent += count
        }
    }

    /// Sends the piece again and again. `stalled` hears how many bytes were sent whenever the client takes none for
    /// 0.4 seconds.
    package func send(_ piece: [UInt8], times: Int, stalled: (Int) -> Void) throws {
        var size: Int32 = 65_536
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        let total = piece.count * times
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        var sent = 0
        while sent < total {
            var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&room, 1, 400) > 0 else {
                stalled(sent)
                continue
            }
            let count = piece[(sent % piece.count)...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, flags)
            }
            if count < 0, errno == EAGAIN { continue }
            guard count > 0 else { throw Gone() }
            sent += count
        }
    }

    /// Takes what comes until the client closes.
    package func awaitClose() {
        var room = [UInt8](repeating: 0, count: 65_536)
        while recv(descriptor, &room, room.count, 0) > 0 {}
    }

    /// Sends nothing for a while, as a slow server does. Throws if the client goes in the meantime.
    package func pause(milliseconds: Int32) throws {
        var room = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&room, 1, milliseconds) > 0 { throw Gone() }
    }

    /// Ends the connection by RST.
    package func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    package func close() {
        isOpen.withLock { isOpen in
            if isOpen { Glibc.close(descriptor) }
            isOpen = false
        }
    }

    /// Wakes the script if it waits for the client.
    fileprivate func end() {
        isOpen.withLock { isOpen in
            if isOpen { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    // MARK: - Receiving

    private func takeLine() throws -> String {
        let end = try offset(of: Array("\r\n".utf8))
        return String(decoding: try take(end + 2).dropLast(2), as: UTF8.self)
    }

    private func take(_ count: Int) throws -> [UInt8] {
        try received.withLock { received in
            while received.count < count { try receive(into: &received) }
            defer { received.removeFirst(count) }
            return Array(received[..<count])
        }
    }

    private func offset(of mark: [UInt8]) throws -> Int {
        try received.withLock { received in
            while true {
                if let range = received.firstRange(of: mark) { return range.lowerBound }
                try receive(into: &received)
            }
        }
    }

    private func receive(into bytes: inout [UInt8]) throws {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &room, room.count, 0)
        guard count > 0 else { throw Gone() }
        bytes += room[..<count]
    }
}
