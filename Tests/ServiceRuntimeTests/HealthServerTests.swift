// SPDX-License-Identifier: Apache-2.0

import Logging
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

@Suite("Health server")
struct HealthServerTests {
    private struct Broken: Error {}

    /// Asks a running server for both paths.
    private func answers(_ checks: [HealthCheck]) async throws -> (live: TestClient.Answer, ready: TestClient.Answer) {
        let (lines, feed) = AsyncStream.makeStream(of: String.self)
        let logger = Logger(label: "health") { _ in
            LineLogHandler(service: "health", level: .debug, format: .text) { feed.yield($0) }
        }
        let server = HealthServer(
            address: HostPort(host: "127.0.0.1", port: 0),
            checks: checks,
            metrics: MetricRegistry(),
            logger: logger
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { feed.finish() }
                try await server.run()
            }
            defer { group.cancelAll() }
            var port = ""
            for await line in lines {
                guard let match = line.firstMatch(of: /health server address=.*:(\d+)$/) else { continue }
                port = String(match.1)
                break
            }
            try #require(!port.isEmpty, "the server ended before it listened")
            let client = TestClient("http://127.0.0.1:\(port)")
            return (try await client.get("/livez"), try await client.get("/readyz"))
        }
    }

    @Test("with every check passing a process is alive and ready")
    func ready() async throws {
        let (live, ready) = try await answers([HealthCheck("database") {}, HealthCheck("storage") {}])
        #expect(live.status == 200)
        #expect(live.text == "ok\n")
        #expect(ready.status == 200)
        #expect(ready.text == "ok\n")
    }

    @Test("a failing check is named, makes the process not ready, and leaves it alive")
    func notReady() async throws {
        let (live, ready) = try await answers([
            HealthCheck("database") { throw Broken() }, HealthCheck("storage") {},
            HealthCheck("upstream") { throw Broken() },
        ])
        #expect(live.status == 200)
        #expect(ready.status == 503)
        #expect(ready.text == "not ready: database, upstream\n")
    }
}

@Suite("Health check")
struct HealthCheckTests {
    @Test("one that doesn't answer in time has failed, and isn't asked again before it does")
    func overdue() async throws {
        let asked = Atomic(0)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let check = HealthCheck("storage") {
            // As a device that hangs: it hears of no cancellation.
            guard asked.add(1, ordering: .relaxed).newValue == 1 else { return }
            await Task { for await _ in gate {} }.value
        }
        for _ in 0..<3 {
            await #expect(throws: HealthCheck.Overdue.self) { try await check.run(within: .milliseconds(20)) }
        }
        try await eventually("it was asked") { asked.load(ordering: .relaxed) > 0 }
        #expect(asked.load(ordering: .relaxed) == 1)
        open.finish()
        try await eventually("the check passes, and asks again") {
            do { try await check.run(within: .seconds(5)) } catch is HealthCheck.Overdue { return false }
            return asked.load(ordering: .relaxed) >= 2
        }
    }

    @Test("those who ask while a look is under way share it, and what comes of it")
    func shared() async throws {
        let asked = Atomic(0)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let check = HealthCheck("database") {
            asked.add(1, ordering: .relaxed)
            for await _ in gate {}
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 { group.addTask { try await check.run(within: .seconds(60)) } }
            try await eventually("the probe runs") { asked.load(ordering: .relaxed) == 1 }
            // Nobody is turned away while it runs.
            await #expect(throws: HealthCheck.Overdue.self) { try await check.run(within: .milliseconds(20)) }
            #expect(asked.load(ordering: .relaxed) == 1)
            open.finish()
            try await group.waitForAll()
        }
    }
}

@Suite("Service runtime")
struct ServiceRuntimeTests {
    @Test(
        "a wrong setting that every service has is refused by its name and value",
        arguments: [
            ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"), ("SHUTDOWN_GRACE", "soon"),
            ("INTERNAL_ADDRESS", "everywhere"),
        ]
    )
    func wrongSetting(_ name: String, _ value: String) {
        let error = #expect(throws: SettingsError.self) {
            try ServiceRuntime(name: "tester", keys: SharedSettings.keys, environment: [name: value])
        }
        #expect(error?.description.hasPrefix("\(name) (environment variable \(name)): \"\(value)\": expected ") == true)
    }

    @Test("nothing has to be set")
    func defaults() throws {
        let runtime = try ServiceRuntime(name: "tester", keys: SharedSettings.keys, environment: [:])
        #expect(runtime.logger.logLevel == .info)
        for key in SharedSettings.keys { #expect(try runtime.settings.string(key) == key.defaultValue) }
    }
}
