// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Postgres
import TestSupport
import Testing
import Waiting

@testable import Jobs

@Suite("Job notifications", .timeLimit(.minutes(2)))
struct JobNotifierTests {
    /// Runs `body` with a listener of the channel and a notifier whose only connection it can keep busy.
    private func withNotifier(
        _ channels: [JobNotifier.Channel],
        _ body: (JobNotifier, PostgresClient, inout Heard) async throws -> Void
    ) async throws {
        let database = try await PostgresCluster.shared().makeDatabase()
        let configuration = PostgresConfiguration.patient(database, maximumConnections: 1)
        let client = PostgresClient(configuration, logger: TestQueue.logger)
        let notifier = JobNotifier(client: client, logger: TestQueue.logger)
        try await listening(to: channels, configuration) { heard in try await body(notifier, client, &heard) }
        await client.close()
    }

    @Test("each kind of news has its channel and its words")
    func channels() async throws {
        try await withNotifier(JobNotifier.Channel.allCases) { notifier, _, heard in
            await notifier.jobsAvailable(.blobs)
            await notifier.jobsFinished([JobID(rawValue: 17)])
            await notifier.notify(.organizations, ["library"])
            var news: [String] = []
            for _ in 0..<3 {
                let (channel, payload) = try await heard.next()
                news.append("\(channel) \(payload)")
            }
            #expect(news == ["jobs blobs", "finishedJobs 17", "organizations library"])
            #expect(Set(JobNotifier.Channel.allCases.map(\.rawValue)).count == JobNotifier.Channel.allCases.count)
        }
    }

    @Test("what gathers while a notification is on its way goes out together")
    func coalesces() async throws {
        try await withNotifier([.jobs, .finishedJobs]) { notifier, client, heard in
            let mayGo = WakeUp()
            let isHeld = WakeUp()
            let holder = Task {
                try await client.withConnection { _ in
                    isHeld.wake()
                    await mayGo.wait(atMost: .seconds(60))
                }
            }
            await isHeld.wait(atMost: .seconds(60))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await notifier.jobsFinished([JobID(rawValue: 0)]) }
                try await eventually("the first one waits for the connection") { await notifier.hasTaken }
                for number in 0..<8 {
                    group.addTask { await notifier.jobsFinished([JobID(rawValue: Int64(number % 4) + 1)]) }
                }
                try await eventually("the others gather") { await notifier.pending[.finishedJobs]?.count == 4 }
                mayGo.wake()
                try await group.waitForAll()
            }
            try await holder.value
            await notifier.notify(.jobs, ["end"])
            let first = JobNotifier.items(try await heard.next().payload)
            let second = JobNotifier.items(try await heard.next().payload)
            #expect(first == ["0"])
            #expect(second.sorted() == ["1", "2", "3", "4"], "each once")
            let last = try await heard.next()
            #expect(last.channel == .jobs, "two notifications were enough")
        }
    }

    @Test("who is cancelled takes nothing along")
    func cancelled() async throws {
        try await withNotifier([.jobs]) { notifier, _, heard in
            let work = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                await notifier.notify(.jobs, ["news"])
            }
            await work.value
            let payload = try await heard.next().payload
            #expect(payload == "news")
        }
    }

    @Test("more than one notification can hold is split, and nothing is lost or doubled")
    func splits() async throws {
        try await withNotifier([.blobs]) { notifier, _, heard in
            let digests = (0..<600).map { Digest.of("\($0)".utf8).description }
            await notifier.notify(.blobs, digests)
            await notifier.notify(.blobs, ["end"])
            var payloads: [String] = []
            while let payload = try? await heard.next().payload, payload != "end" { payloads.append(payload) }
            #expect(payloads.allSatisfy { $0.utf8.count < 8_000 })
            #expect(payloads.count == 6, "as few as can be: 110 of 71 bytes and a comma each")
            let items = payloads.flatMap(JobNotifier.items)
            #expect(items.count == digests.count)
            #expect(Set(items) == Set(digests))
        }
    }

    @Test("a notification that can't be sent is given up, and the next one is sent")
    func failure() async throws {
        try await withNotifier([.jobs]) { notifier, client, heard in
            await notifier.notify(.jobs, [String(repeating: "x", count: 9_000)])
            await notifier.notify(.jobs, ["after"])
            let payload = try await heard.next().payload
            #expect(payload == "after")
            await client.close()
            await notifier.notify(.jobs, ["nobody hears this, and nobody waits for it"])
        }
    }

    @Test("nothing to tell is not told")
    func nothing() async throws {
        try await withNotifier([.jobs, .finishedJobs]) { notifier, _, heard in
            await notifier.jobsFinished([])
            await notifier.jobsAvailable(.manifests)
            let first = try await heard.next()
            #expect(first.channel == .jobs)
        }
        #expect(JobNotifier.items("").isEmpty)
        #expect(JobNotifier.items("a,b") == ["a", "b"])
    }
}
