// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Logging
import Synchronization
import TestSupport

@testable import HTTPTransport

/// Runs `body` with a transport that goes anywhere and directly, unless it is configured otherwise.
func withTransport<Result>(
    _ configure: (inout HTTPTransportConfiguration) -> Void = { _ in },
    _ body: (HTTPTransport) async throws -> Result
) async throws -> Result {
    var configuration = HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none)
    configure(&configuration)
    let transport = HTTPTransport(configuration, logger: Logger(label: "transport-tests"))
    defer { transport.shutdown() }
    return try await body(transport)
}

/// Runs `body` with a server that follows the script, and with a transport to it.
func withServer<Result>(
    _ script: @escaping RawServer.Script,
    configure: (inout HTTPTransportConfiguration) -> Void = { _ in },
    _ body: (RawServer, HTTPTransport) async throws -> Result
) async throws -> Result {
    try await RawServer.with(script) { server in
        try await withTransport(configure) { try await body(server, $0) }
    }
}

/// A script that answers every request of a connection alike.
func answering(_ answer: String) -> RawServer.Script {
    { connection in
        while true {
            try connection.request()
            try connection.send(answer)
        }
    }
}

func ok(_ body: String) -> String { "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)" }

extension HTTPTransport {
    /// Sends a request and reads its response whole.
    func fetch(_ request: HTTPTransportRequest) async throws -> (head: HTTPTransportHead, text: String) {
        let response = try await send(request)
        return (response.head, String(decoding: try await response.collect(upTo: 1 << 20), as: UTF8.self))
    }
}

/// Keeps what it gets, and throws where it is told to.
final class RecordingSink: ResponseSink {
    struct Refusal: Error {}

    private let state = Mutex((head: HTTPTransportHead?.none, bytes: [UInt8](), writes: 0))
    private let onBegin: @Sendable () throws -> Void
    private let onWrite: @Sendable () throws -> Void

    init(
        onBegin: @escaping @Sendable () throws -> Void = {},
        onWrite: @escaping @Sendable () throws -> Void = {}
    ) {
        self.onBegin = onBegin
        self.onWrite = onWrite
    }

    var head: HTTPTransportHead? { state.withLock { $0.head } }
    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var writes: Int { state.withLock { $0.writes } }

    func begin(_ head: HTTPTransportHead) throws {
        try onBegin()
        state.withLock { $0.head = head }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        state.withLock { state in
            state.writes += 1
            state.bytes += bytes
        }
        try onWrite()
    }
}
