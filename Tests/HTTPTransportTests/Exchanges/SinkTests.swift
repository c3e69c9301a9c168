// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import Synchronization
import TestSupport
import Testing

@Suite("Responses into sinks")
struct SinkTests {
    private static let part = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n123456"

    /// Sends a part of a response, then nothing.
    private static let sendsPart: RawServer.Script = { connection in
        try connection.request()
        try connection.send(part)
        connection.awaitClose()
    }

    @Test("a sink gets the head, then every byte in order, before the call returns")
    func whole() async throws {
        let image = ImageFixture.single(seed: 2, size: 3_000_001)
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a")
            try await withTransport { transport in
                let sink = RecordingSink()
                let url = upstream.url + "/v2/a/blobs/\(image.blobs[1].digest)"
                let head = try await transport.receive(.init(url: url), into: sink)
                #expect(head.status == 200)
                #expect(sink.head == head)
                #expect(sink.writes > 1 && sink.writes < 3_000_001 / 16_384, "curl's pieces are gathered")
                #expect(sink.bytes == image.blobs[1].bytes(0..<3_000_001))
            }
        }
    }

    @Test("an empty body has a head and no bytes")
    func empty() async throws {
        try await withServer(answering(ok(""))) { server, transport in
            let sink = RecordingSink()
            try await transport.receive(.init(url: server.url), into: sink)
            #expect(sink.head?.status == 200)
            #expect(sink.writes == 0)
        }
    }

    @Test("what a sink throws at the head reaches the caller unchanged, and ends the transfer")
    func refusesHead() async throws {
        try await withServer(Self.sendsPart) { server, transport in
            let sink = RecordingSink(onBegin: { throw RecordingSink.Refusal() })
            await #expect(throws: RecordingSink.Refusal.self) {
                try await transport.receive(.init(url: server.url), into: sink)
            }
            #expect(sink.writes == 0)
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
        }
    }

    @Test("what a sink throws at the bytes reaches the caller unchanged, and ends the transfer")
    func refusesBytes() async throws {
        try await withServer(Self.sendsPart) { server, transport in
            let sink = RecordingSink(onWrite: { throw RecordingSink.Refusal() })
            await #expect(throws: RecordingSink.Refusal.self) {
                try await transport.receive(.init(url: server.url), into: sink)
            }
            #expect(sink.writes == 1)
            try await eventually("the connection is over") { server.accepted == 1 && server.open == 0 }
        }
    }

    @Test("a sink gets the bytes that came before the transfer broke")
    func truncated() async throws {
        try await withServer({ connection in
            try connection.request()
            try connection.send(Self.part)
        }) { server, transport in
            let sink = RecordingSink()
            let error = try await #require(throws: HTTPTransportError.self) {
                try await transport.receive(.init(url: server.url), into: sink)
            }
            #expect(error.code == .truncated)
            #expect(sink.bytes == Array("123456".utf8))
        }
    }

    @Test("a sink gets what there is while the server is silent; bodies at the same time don't mix")
    func prompt() async throws {
        let isHeard = DispatchSemaphore(value: 0)
        try await withServer({ connection in
            try connection.request()
            try connection.send(Self.part)
            guard isHeard.wait(timeout: .now() + 60) == .success else { return }
            try connection.send(String(repeating: "x", count: 999_994))
            connection.awaitClose()
        }) { server, transport in
            let sinks = (0..<4).map { _ in RecordingSink(onWrite: { isHeard.signal() }) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for sink in sinks {
                    group.addTask { try await transport.receive(.init(url: server.url), into: sink) }
                }
                try await group.waitForAll()
            }
            let expected = Array(("123456" + String(repeating: "x", count: 999_994)).utf8)
            for sink in sinks { #expect(sink.bytes == expected) }
        }
    }

    @Test("time that a sink takes isn't the server's")
    func slowSink() async throws {
        let isRested = DispatchSemaphore(value: 0)
        try await withServer({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")
            guard isRested.wait(timeout: .now() + 60) == .success else { return }
            try connection.send("2")
            connection.awaitClose()
        }) { server, transport in
            let isFirst = Atomic(true)
            let sink = RecordingSink(onWrite: {
                guard isFirst.exchange(false, ordering: .relaxed) else { return }
                Thread.sleep(forTimeInterval: 9)
                isRested.signal()
            })
            // Shorter than the sink takes, longer than the server is silent afterwards.
            let deadlines = HTTPTransportDeadlines(idle: .seconds(8))
            try await transport.receive(.init(url: server.url, deadlines: deadlines), into: sink)
            #expect(sink.bytes == Array("12".utf8))
        }
    }
}
