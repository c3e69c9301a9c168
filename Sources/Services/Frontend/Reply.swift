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

    var head: HTTPResponse {
        var head = HTTPResponse(status: .init(code: status), headerFields: headers)
        head.headerFields[.dockerDistributionAPIVersion] = "registry/2.0"
        if let contentLength { head.headerFields[.contentLength] = String(contentLength) }
        return head
    }

    /// The body as the server writes it.
    func responseBody(on channel: any Channel, isHead: Bool) -> ResponseBody {
        switch body {
        case _ where isHead: ResponseBody()
        case .none: ResponseBody()
        case .bytes(let bytes): ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        case .blob(let blob):
            ResponseBody { writer in
                try await blob.write(to: &writer, on: channel)
                try await writer.finish(nil)
            }
        }
    }
}
