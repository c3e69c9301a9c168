// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Models
import OCI
import TestSupport
import Testing

@testable import Frontend

@Suite("Reply")
struct ReplyTests {
    @Test("an error becomes a JSON body with its status and its length")
    func error() throws {
        let reply = Reply(RegistryError(.denied, message: "a \"reason\"", retryAfterSeconds: 3))
        #expect(reply.status == 403)
        #expect(reply.headers[.contentType] == "application/json")
        #expect(reply.headers[.retryAfter] == "3")
        guard case .bytes(let bytes) = reply.body else {
            Issue.record("an error has a body")
            return
        }
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"errors":[{"code":"DENIED","message":"a \"reason\""}]}"#)
        #expect(reply.contentLength == Int64(bytes.count))
    }

    @Test("an answer carries its headers, its length and its body, and then ends")
    func bytes() async throws {
        let reply = Reply(
            status: 200,
            headers: [.contentType: "text/plain"],
            body: .bytes(Array("hello".utf8)),
            contentLength: 5
        )
        let written = try await reply.written()
        #expect(written.head?.status == 200)
        #expect(written.head?.headerFields[.contentType] == "text/plain")
        #expect(written.head?.headerFields[.contentLength] == "5")
        #expect(written.head?.headerFields[.dockerDistributionAPIVersion] == "registry/2.0")
        #expect(written.body == Array("hello".utf8))
        #expect(written.isEnded)
    }

    @Test("HEAD has the headers of GET and no body")
    func head() async throws {
        let reply = Reply(RegistryError(.manifestUnknown, message: "no such manifest"))
        let (get, head) = (try await reply.written(), try await reply.written(isHead: true))
        #expect(head.head == get.head)
        #expect(head.head?.headerFields[.contentLength] == "\(get.body.count)")
        #expect(get.body.isEmpty == false)
        #expect(head.body.isEmpty)
        #expect(head.isEnded)
    }

    @Test("an answer without a body says no length")
    func none() async throws {
        let written = try await Reply(status: 304, headers: [.eTag: "\"a\""]).written()
        #expect(written.head?.status == 304)
        #expect(written.head?.headerFields[.contentLength] == nil)
        #expect(written.body.isEmpty)
        #expect(written.isEnded)
    }
}
