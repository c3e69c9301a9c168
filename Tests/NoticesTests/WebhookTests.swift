// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import Jobs
import Logging
import Models
import Notices
import Postgres
import TestSupport
import Testing
import Waiting

@Suite("The webhook", .timeLimit(.minutes(2)))
struct WebhookTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("signs as RFC 4231 test case 2 says, and not at all without a secret")
    func signature() {
        let body = Array("what do ya want for nothing?".utf8)
        #expect(
            Webhook(url: "http://example.test", secret: "Jefe").signature(of: body)
                == "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        )
        #expect(Webhook(url: "http://example.test", secret: nil).signature(of: body) == nil)
    }

    @Test("shows nobody its secret")
    func secrecy() {
        let webhook = Webhook(url: "https://user:word@example.test/?token=word", secret: "word")
        struct Holder { let webhook: Webhook? }
        for text in ["\(webhook)", "\(Holder(webhook: webhook))", String(reflecting: Holder(webhook: webhook))] {
            #expect(!text.contains("word"), "\(text)")
        }
    }

    /// Queues a notice, and has it handled until its job is over; the pauses between attempts are left out.
    /// - Returns: how often it was tried, the state of the job, and the errors that it kept
    private func deliver(to webhook: Webhook?, attempts: Int = 5) async throws -> (Int, String, String) {
        let database = try await PostgresCluster.shared().makeMigratedDatabase()
        let client = PostgresClient(
            PostgresConfiguration.patient(database, maximumConnections: 4),
            logger: Self.logger
        )
        let transport = HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
            logger: Self.logger
        )
        defer { transport.shutdown() }
        let queue = JobQueue()
        try await queue.enqueueChores(
            .vulnerabilityNotice,
            keys: ["one"],
            payloads: ["{\"number\":1}"],
            queue: .scans,
            maxAttempts: attempts,
            on: client
        )
        var configuration = JobProcessor.Configuration(queue: .scans, slots: 1)
        configuration.pollInterval = .milliseconds(10)
        let processor = JobProcessor(
            configuration,
            worker: "w",
            handlers: [
                NoticeHandler(.vulnerabilityNotice, to: webhook, transport: transport, logger: Self.logger) { job in
                    NoticeHandler.Notice(id: "\(job.lease.job)", text: job.payload)
                }
            ],
            client: client,
            notifier: JobNotifier(client: client, logger: Self.logger),
            wakeUp: WakeUp(),
            logger: Self.logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await processor.run() }
            try await eventually("the job is over") {
                try await client.query("UPDATE job SET scheduled_at = now() WHERE state = 'retryable'")
                return try await !client.query("SELECT 1 FROM job WHERE finalized_at IS NOT NULL").isEmpty
            }
            group.cancelAll()
        }
        let row = try await client.query("SELECT attempt, state::text, errors::text FROM job")
            .decodeFirst((Int, String, String).self)
        await client.close()
        return try #require(row)
    }

    @Test(
        "is told again after it refused and after it hung up, with the same id and signature, and once it took it no more"
    )
    func retries() async throws {
        try await RawServer.with({ connection in
            try connection.request()
            if connection.number == 2 { return }
            let status = connection.number == 1 ? "503 Later" : "204 Taken"
            try connection.send("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }) { server in
            let webhook = Webhook(url: server.url + "/hook", secret: "s3cret")
            let (attempts, state, errors) = try await deliver(to: webhook)
            #expect(attempts == 3 && state == "completed")
            #expect(errors.contains("answered 503") && errors.contains("can't be reached"))
            let requests = server.requests
            #expect(requests.count == 3 && Set(requests.map(\.body)).count == 1)
            #expect(Set(requests.flatMap { $0.values("X-Entrepot-Delivery") }).count == 1)
            for request in requests {
                #expect(request.line == "POST /hook HTTP/1.1")
                #expect(request.values("X-Entrepot-Signature") == [webhook.signature(of: request.body)])
                #expect(request.values("Content-Type") == ["application/json"])
            }
        }
    }

    @Test("that never takes it is given up after the last attempt; without one nothing is sent, and the job ends")
    func givenUp() async throws {
        try await RawServer.with({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }) { server in
            let (attempts, state, _) = try await deliver(to: Webhook(url: server.url, secret: nil), attempts: 3)
            #expect(attempts == 3 && state == "discarded" && server.requests.count == 3)
            #expect(server.requests.allSatisfy { $0.values("X-Entrepot-Signature").isEmpty })
        }
        let (attempts, state, _) = try await deliver(to: nil)
        #expect(attempts == 1 && state == "discarded")
    }
}
