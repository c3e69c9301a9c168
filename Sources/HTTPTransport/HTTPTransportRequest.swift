// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// One HTTP request.
package struct HTTPTransportRequest: Sendable {
    package var method: HTTPRequest.Method
    /// Absolute, `http` or `https`, without userinfo.
    package var url: String
    package var headers: HTTPFields
    package var body: HTTPTransportBody?
    package var deadlines: HTTPTransportDeadlines

    package init(
        method: HTTPRequest.Method = .get,
        url: String,
        headers: HTTPFields = [:],
        body: HTTPTransportBody? = nil,
        deadlines: HTTPTransportDeadlines = .init()
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.deadlines = deadlines
    }
}

/// What is sent with a request.
package enum HTTPTransportBody: Sendable {
    case bytes([UInt8])
    /// Chunks as they are asked for; nil ends the body. With a length it must sum up to it, without one it is chunked.
    case stream(length: Int64?, next: @Sendable () async throws -> [UInt8]?)
}

/// How long each phase of an exchange may take.
package struct HTTPTransportDeadlines: Sendable, Hashable {
    /// Name look-up, connection, TLS.
    package var connect: Duration
    /// From the end of connecting to the response's head.
    package var firstByte: Duration
    /// Without a byte in either direction. Time in which the caller doesn't read is not counted.
    package var idle: Duration
    /// The whole exchange; nil for no limit.
    package var total: Duration?

    package init(
        connect: Duration = .seconds(5),
        firstByte: Duration = .seconds(30),
        idle: Duration = .seconds(60),
        total: Duration? = nil
    ) {
        self.connect = connect
        self.firstByte = firstByte
        self.idle = idle
        self.total = total
    }
}

/// Status and header of a response.
package struct HTTPTransportHead: Sendable, Hashable {
    package let status: Int
    /// Every field, repeated ones in their order.
    package let headers: HTTPFields
    /// As the status line says it: `HTTP/1.1`, `HTTP/2`.
    package let httpVersion: String
    /// Address that answered: the server's or the proxy's.
    package let peerAddress: String?
}
