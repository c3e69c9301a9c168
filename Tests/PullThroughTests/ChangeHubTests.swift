// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models
import Postgres
import TestSupport
import Testing
import Waiting

@testable import PullThrough

@Suite("Change hub")
struct ChangeHubTests {
    /// Runs the hub, and `body` once it listens.
    private func withHub(_ body: @Sendable (PullBench) async throws -> Void) async throws {
        try await PullBench.with { bench in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let connected = WakeUp()
                bench.hub.add(connected, for: .queue("nobody's"))
                group.addTask { try await bench.hub.run() }
                defer { group.cancelAll() }
                let isConnected = await connected.wait(atMost: .seconds(120))
                try #require(isConnected, "whoever waits is woken after a connection was made")
                try await body(bench)
            }
        }
    }

    @Test("those who wait for a topic are woken by it, and nobody else")
    func topics() async throws {
        try await withHub { bench in
            let topics: [(ChangeHub.Topic, JobNotifier.Channel, String)] = [
                (.queue("blobs"), .jobs, "blobs"), (.job(JobID(rawValue: 7)), .finishedJobs, "7"),
                (.blob("sha256:a"), .blobs, "sha256:a"),
            ]
            for (topic, channel, item) in topics {
                let (waiting, second, other) = (WakeUp(), WakeUp(), WakeUp())
                bench.hub.add(waiting, for: topic)
                bench.hub.add(second, for: topic)
                bench.hub.add(other, for: .blob("sha256:b"))
                await bench.notifier.notify(channel, [item])
                #expect(await waiting.wait(atMost: .seconds(120)), "\(topic)")
                #expect(await second.wait(atMost: .seconds(120)), "\(topic)")
                #expect(await !other.wait(atMost: .milliseconds(20)), "\(topic)")
                bench.hub.remove(waiting, for: topic)
                await bench.notifier.notify(channel, [item])
                #expect(await second.wait(atMost: .seconds(120)), "\(topic)")
                #expect(await !waiting.wait(atMost: .milliseconds(20)), "\(topic)")
                bench.hub.remove(other, for: .blob("sha256:b"))
            }
        }
    }

    @Test("an organization that changes is told by its name")
    func organizations() async throws {
        try await withHub { bench in
            let names = Journal<String?>()
            bench.hub.onChange(of: .organizations) { names.note($0) }
            await bench.notifier.notify(.organizations, ["acme"])
            try await eventually("it is told") { !names.entries.isEmpty }
            #expect(names.entries == ["acme"])
        }
    }
}
