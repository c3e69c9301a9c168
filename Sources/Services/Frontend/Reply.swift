// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import NIOCore
import OCI

/// What a request is answered with. Endpoints make these; only the responder writes them.
struct Reply: Sendable {
    enum Body: Sendable {
        case none
        case bytes([UInt8])
        case blob(BlobBody)
    }

    var status: Int
    var headers: HTTPFields
    var body: Body
    /// Size of the body that GET has, which HEAD names too.
    var contentLength: Int64?

    init(status: Int, headers: HTTPFields = [:], body: Body = .none, contentLength: Int64? = nil) {
        self.status = status
        self.headers = headers
        self.body = body
        self.contentLength = contentLength
    }

    init(_ error: RegistryError) {
        let body = error.body
        self.init(
            status: error.status,
            headers: error.headers(),
            body: .bytes(body),
            contentLength: Int64(body.count)
        )
    }

    /// Writes the answer. Throwing after the head has gone out cuts the connection, which is the only way to tell a
    /// client that the rest won't come.
    @concurrent
    func write(
        to writer: consuming ResponseWriter,
        on channel: any Channel,
        isHead: Bool
    ) async throws {
        var response = HTTPResponse(status: .init(code: status), headerFields: headers)
        response.headerFields[.dockerDistributionAPIVersion] = "registry/2.0"
        if let contentLength { response.headerFields[.contentLength] = String(contentLength) }
        if isHead {
            return try await writer.writeResponse(response)
        }
        switch body {
        case .none:
            try await writer.writeResponse(response)
        case .bytes(let bytes):
            try await writer.write(response: response, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .blob(let blob):
            var body: any ResponseBodyWriter = try await writer.writeHead(response)
            try await blob.write(to: &body, on: channel)
            try await body.finish(nil)
        }
    }
}
