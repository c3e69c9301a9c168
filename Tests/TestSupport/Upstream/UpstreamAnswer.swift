// SPDX-License-Identifier: Apache-2.0

import Glibc
package import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix

/// One answer, before and after a fault was applied to it.
struct UpstreamAnswer: Sendable {
    var status: Int
    var headers: HTTPFields = [:]
    var body: [UInt8] = []
    var blob: ImageFixture.Blob?
    var range: Range<Int64> = 0..<0
    private var lengthLie: Int64 = 0
    private var isChunked = false
    private var corruptOffset: Int64?
    private var end: Int64?
    private var isReset = false
    private var stall: (after: Int64, gate: Gate)?
    private var drip: Duration?

    init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
        range = 0..<Int64(body.count)
    }

    init(status: Int, blob: ImageFixture.Blob, range: Range<Int64>) {
        self.status = status
        self.blob = blob
        self.range = range
    }

    static func error(_ status: Int, _ code: String) -> UpstreamAnswer {
        UpstreamAnswer(status: status, body: Array("{\"errors\":[{\"code\":\"\(code)\",\"message\":\"no\"}]}".utf8))
    }

    mutating func apply(_ fault: Fault.Action?) {
        switch fault {
        case nil, .hold, .ignoreRange: break
        case .answer(let status, let headers, let body):
            self = UpstreamAnswer(status: status, body: body)
            self.headers = headers
        case .truncate(let after, let reset): (end, isReset) = (after, reset)
        case .corrupt(let offset): corruptOffset = offset
        case .stall(let after, let gate): stall = (after, gate)
        case .drip(let pause): drip = pause
        case .redirect(let url, let status):
            self = UpstreamAnswer(status: status, body: [])
            headers[.location] = url
        case .removeHeader(let name): headers[name] = nil
        case .setHeader(let name, let value): headers[name] = value
        case .lieAboutLength(let delta): lengthLie = delta
        case .chunked: isChunked = true
        }
    }

    /// Writes it; throwing ends the connection.
    @concurrent
    func write(_ writer: consuming ResponseWriter, _ channel: any Channel, isHead: Bool) async throws {
        var response = HTTPResponse(status: .init(code: status), headerFields: headers)
        if !isChunked {
            response.headerFields[.contentLength] = String(Int64(range.count) + lengthLie)
        }
        if isHead { return try await writer.writeResponse(response) }
        var body: any ResponseBodyWriter = try await writer.writeHead(response)
        var sent: Int64 = 0
        while sent < Int64(range.count) {
            if let stall, sent == stall.after { await stall.gate.pass() }
            if let end, sent >= end { try await cut(channel) }
            if let drip { try await Task.sleep(for: drip) }  // a slow server is what is being played
            var next = min(sent + (drip == nil ? 256 * 1024 : 1), Int64(range.count))
            if let stall, sent < stall.after { next = min(next, stall.after) }
            if let end { next = min(next, end) }
            try await body.write(ByteBuffer(bytes: bytes(range.lowerBound + sent..<range.lowerBound + next)))
            sent = next
        }
        if end != nil || lengthLie != 0 { try await cut(channel) }
        try await body.finish(nil)
    }

    private func bytes(_ wanted: Range<Int64>) -> [UInt8] {
        var bytes = blob?.bytes(wanted) ?? Array(body[Int(wanted.lowerBound)..<Int(wanted.upperBound)])
        if let corruptOffset, wanted.contains(corruptOffset) { bytes[Int(corruptOffset - wanted.lowerBound)] ^= 0xFF }
        return bytes
    }

    private struct Cut: Error {}

    private func cut(_ channel: any Channel) async throws {
        if isReset {
            // RST instead of FIN.
            if let provider = channel as? any SocketOptionProvider {
                try await provider.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
            }
            try await channel.close().get()
        }
        throw Cut()
    }
}

extension HTTPField.Name {
    /// The digest of a manifest or blob, in the registry's words.
    package static let dockerContentDigest: HTTPField.Name = {
        guard let name = HTTPField.Name("Docker-Content-Digest") else { preconditionFailure("a field name") }
        return name
    }()
}
