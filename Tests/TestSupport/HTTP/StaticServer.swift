// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes
import HummingbirdCore
import NIOCore

/// An HTTP server that answers each request by itself alone.
package enum StaticServer {
    /// - Parameters:
    ///   - answer: gets path, headers and body; status, content type and body
    ///   - body: gets `http://127.0.0.1:PORT`
    package static func with<Result: Sendable>(
        _ answer: @escaping @Sendable (String, HTTPFields, [UInt8]) -> (Int, String, [UInt8]),
        _ body: (String) async throws -> Result
    ) async throws -> Result {
        try await TestServer.with { request, writer, _ in
            let content = Array(try await request.body.collect(upTo: 4_194_304).readableBytesView)
            let (status, type, bytes) = answer(request.head.path ?? "", request.headers, content)
            let head = HTTPResponse(
                status: .init(code: status),
                headerFields: [.contentType: type, .contentLength: String(bytes.count)]
            )
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        } _: { port in
            try await body("http://127.0.0.1:\(port)")
        }
    }
}
