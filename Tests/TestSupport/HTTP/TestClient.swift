// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Glibc
package import HTTPTransport
package import HTTPTypes
import Logging
package import OCI
import Synchronization

/// A client of the registry under test.
package final class TestClient: Sendable {
    package struct Answer: Sendable {
        package let status: Int
        package let headers: HTTPFields
        package let body: [UInt8]
        /// Nil when the body came to its declared end; else why not.
        package let failure: HTTPTransportError?

        package var text: String { String(decoding: body, as: UTF8.self) }

        /// The code of the first error in an OCI error body.
        package var errorCode: String? {
            struct Body: Decodable {
                struct Item: Decodable { let code: String }
                let errors: [Item]
            }
            let body = try? JSONDecoder().decode(Body.self, from: Data(body))  // anything else has no code
            return body?.errors.first?.code
        }
    }

    private let transport: HTTPTransport
    package let base: String

    /// - Parameter base: `http://HOST:PORT`
    package init(_ base: String) {
        self.base = base
        var configuration = HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none)
        configuration.userAgent = "entrepot-tests"
        transport = HTTPTransport(configuration, logger: Logger(label: "test-client"))
    }

    deinit { transport.shutdown() }

    package func get(_ path: String, _ headers: HTTPFields = [:]) async throws -> Answer {
        try await send(.get, path, headers)
    }

    package func head(_ path: String, _ headers: HTTPFields = [:]) async throws -> Answer {
        try await send(.head, path, headers)
    }

    package func send(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ headers: HTTPFields = [:],
        body: [UInt8]? = nil
    ) async throws -> Answer {
        let response = try await transport.send(request(method, path, headers, body))
        var bytes: [UInt8] = []
        do {
            for try await chunk in response.body { bytes += chunk }
        } catch let error as HTTPTransportError {
            return Answer(status: response.head.status, headers: response.head.headers, body: bytes, failure: error)
        }
        return Answer(status: response.head.status, headers: response.head.headers, body: bytes, failure: nil)
    }

    /// A response whose body is read as the test likes: what it doesn't read, the server can't send.
    package func open(_ path: String, _ headers: HTTPFields = [:]) async throws -> HTTPTransportResponse {
        try await transport.send(request(.get, path, headers, nil))
    }

    /// Reads at least so many bytes and leaves, as a client does that has lost interest.
    package func getPart(_ path: String, _ headers: HTTPFields = [:], atLeast count: Int) async throws -> Answer {
        let response = try await transport.send(request(.get, path, headers, nil))
        var bytes: [UInt8] = []
        for try await chunk in response.body {
            bytes += chunk
            if bytes.count >= count { break }
        }
        return Answer(status: response.head.status, headers: response.head.headers, body: bytes, failure: nil)
    }

    /// Digest and size of a body that is too large to keep, and whether it came to its end.
    package func digest(
        _ path: String,
        _ headers: HTTPFields = [:]
    ) async throws -> (status: Int, digest: Digest, size: Int64) {
        let sink = HashingSink()
        let head = try await transport.receive(request(.get, path, headers, nil), into: sink)
        let (digest, size) = sink.result
        return (head.status, digest, size)
    }

    private func request(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ headers: HTTPFields,
        _ body: [UInt8]?
    ) -> HTTPTransportRequest {
        HTTPTransportRequest(
            method: method,
            url: base + path,
            headers: headers,
            body: body.map { .bytes($0) },
            // Longer than any server waits.
            deadlines: HTTPTransportDeadlines(connect: .seconds(60), firstByte: .seconds(330), idle: .seconds(330))
        )
    }

    private final class HashingSink: ResponseSink {
        private let state = Mutex((hasher: DigestHasher(.sha256), size: Int64(0)))

        var result: (Digest, Int64) { state.withLock { ($0.hasher.finalize(), $0.size) } }

        func begin(_ head: HTTPTransportHead) throws {}

        func write(_ bytes: UnsafeRawBufferPointer) throws {
            state.withLock { state in
                state.hasher.update(bytes)
                state.size += Int64(bytes.count)
            }
        }
    }
}

/// Sends bytes that no HTTP library would, and returns what comes back until the server closes or falls silent.
/// - Parameters:
///   - thenEnds: says that nothing more will be sent, so that the server closes when it has answered
///   - untilClosed: throws unless the server closes by itself
package func rawExchange(
    port: Int,
    _ request: String,
    thenEnds: Bool = false,
    untilClosed: Bool = false
) async throws -> String {
    // Away from the cooperative pool: what answers may need its threads, and there are as few as cores.
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(with: Result { try exchange(port, request, thenEnds, untilClosed) })
        }
    }
}

private func exchange(_ port: Int, _ request: String, _ thenEnds: Bool, _ untilClosed: Bool) throws -> String {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    func bePatient(seconds: Int) {
        var patience = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }
    bePatient(seconds: 60)
    guard RawSocket.connect(descriptor, to: port) else {
        throw TestSupportError("port \(port) doesn't accept connections")
    }
    _ = Glibc.send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
    if thenEnds { shutdown(descriptor, Int32(SHUT_WR)) }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0, untilClosed, errno != ECONNRESET {
            throw TestSupportError("the server doesn't close the connection")
        }
        if count <= 0 { break }
        answer += buffer[..<count]
        // What has begun to answer and then says nothing more keeps the connection open.
        if !thenEnds, !untilClosed { bePatient(seconds: 5) }
    }
    return String(decoding: answer, as: UTF8.self)
}
