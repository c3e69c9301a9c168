// SPDX-License-Identifier: Apache-2.0

import Postgres
import TestSupport
import Testing

@Suite("Listening for notifications", .timeLimit(.minutes(2)))
struct NotificationListenerTests {
    /// What a listener says, in order.
    private struct Heard {
        private var events: AsyncStream<ListenerEvent>.Iterator

        init(_ events: AsyncStream<ListenerEvent>) { self.events = events.makeAsyncIterator() }

        mutating func next() async throws -> String {
            switch await events.next(isolation: #isolation) {
            case .connected: "connected"
            case .notification(let channel, let payload): "\(channel): \(payload)"
            case nil: throw TestSupportError("the listener has ended")
            }
        }
    }

    /// Runs a listener for the time of `body`.
    private func listening(
        to channels: [String],
        _ configuration: PostgresConfiguration,
        _ body: (inout Heard) async throws -> Void
    ) async throws {
        let (events, feed) = AsyncStream<ListenerEvent>.makeStream()
        let listener = NotificationListener(configuration, channels: channels, logger: TestServer.logger) {
            feed.yield($0)
        }
        var heard = Heard(events)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await listener.run() }
            try await body(&heard)
            group.cancelAll()
        }
    }

    @Test("a notification is heard with its channel and payload, in the order of their commits")
    func hears() async throws {
        let channel = TestServer.uniqueName("channel")
        let odd = TestServer.uniqueName("Odd \"Channel\" ")
        let configuration = try await TestServer.configuration()
        try await TestServer.withClient { client in
            try await listening(to: [channel, odd], configuration) { heard in
                #expect(try await heard.next() == "connected")
                try await client.query("SELECT pg_notify(\(channel), 'one')")
                #expect(try await heard.next() == "\(channel): one")
                try await client.query("SELECT pg_notify(\(TestServer.uniqueName("elsewhere")), 'not for us')")
                try await client.query("SELECT pg_notify(\(odd), 'two'), pg_notify(\(odd), 'three ä')")
                #expect(try await heard.next() == "\(odd): two")
                #expect(try await heard.next() == "\(odd): three ä")
            }
        }
    }

    @Test("a listener whose backend is ended comes back, says so, and hears again")
    func reconnects() async throws {
        let name = TestServer.uniqueName("listener")
        let channel = TestServer.uniqueName("channel")
        let configuration = try await TestServer.configuration(name: name)
        try await TestServer.withClient { client in
            try await listening(to: [channel], configuration) { heard in
                #expect(try await heard.next() == "connected")
                let backends = try await client.backends(of: name)
                #expect(backends.count == 1)
                try await TestServer.terminate(backends, on: client)
                #expect(try await heard.next() == "connected")
                try await client.query("SELECT pg_notify(\(channel), 'after')")
                #expect(try await heard.next() == "\(channel): after")
            }
        }
    }

    @Test("a listener that starts before its database is there listens as soon as it is")
    func startsEarly() async throws {
        let name = TestServer.uniqueName("early")
        let string = try await PostgresCluster.shared().connectionString(name)
        try await TestServer.withClient { client in
            try await listening(to: ["any"], PostgresConfiguration.patient(string)) { heard in
                try await client.query("CREATE DATABASE \(unescaped: name)")
                #expect(try await heard.next() == "connected")
            }
        }
    }

    @Test("a listener that hears nothing ends when it is told to")
    func ends() async throws {
        let name = TestServer.uniqueName("silent")
        let configuration = try await TestServer.configuration(name: name)
        try await TestServer.withClient { client in
            let clock = ContinuousClock()
            var toldToEnd = clock.now
            try await listening(to: ["any"], configuration) { heard in
                let first = try await heard.next()
                #expect(first == "connected")
                toldToEnd = clock.now
            }
            #expect(clock.now - toldToEnd < .seconds(15), "it waits for the server for longer than that")
            try await eventually("its connection is closed") { try await client.backends(of: name).isEmpty }
        }
    }
}
