// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Supervision

@Suite("Child process")
struct ChildProcessTests {
    /// What a child printed, as it comes.
    private final class Output: Sendable {
        private let kept = Mutex<[(line: String, at: ContinuousClock.Instant)]>([])
        private let stream: AsyncStream<String>
        private let feed: AsyncStream<String>.Continuation

        init() { (stream, feed) = AsyncStream.makeStream() }

        var lines: [String] { kept.withLock { $0.map(\.line) } }
        var times: [ContinuousClock.Instant] { kept.withLock { $0.map(\.at) } }

        func take(_ line: String) {
            kept.withLock { $0.append((line, .now)) }
            feed.yield(line)
        }

        /// The next line that is the text; false when the child has ended before.
        func wait(for text: String) async -> Bool {
            for await line in stream where line == text { return true }
            return false
        }

        func end() { feed.finish() }
    }

    /// Runs a shell script as a child while `body` runs, then stops it.
    private func withChild(
        _ script: String,
        _ change: (inout ChildProcess.Configuration) -> Void = { _ in },
        _ body: (ChildProcess, Output) async throws -> Void
    ) async throws {
        var configuration = ChildProcess.Configuration(name: "child", executable: "/bin/sh")
        configuration.arguments = ["-c", script, "child"]
        change(&configuration)
        let output = Output()
        var logger = Logger(label: "child")
        logger.logLevel = .critical
        let child = ChildProcess(configuration, output: { output.take($0) }, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { output.end() }
                try await child.run()
            }
            let result: Result<Void, any Error>
            do { result = .success(try await body(child, output)) } catch { result = .failure(error) }
            child.stop()
            try await group.waitForAll()
            try result.get()
        }
    }

    @Test("lines of output and errors arrive, with the arguments and the environment that were given")
    func output() async throws {
        try await withChild(
            "echo \"$1 $2\"; echo \"$COLOR\" >&2; echo; printf last",
            { configuration in
                configuration.arguments += ["a b", "c"]
                configuration.environment = ["COLOR": "blue"]
            }
        ) { _, output in
            #expect(await output.wait(for: "last"))
            #expect(output.lines.prefix(4) == ["a b c", "blue", "", "last"])
        }
    }

    @Test("a child that dies is started again, after growing pauses, and its last words arrive")
    func restart() async throws {
        try await withChild("echo start; i=0; while [ $i -lt 200 ]; do echo word; i=$((i+1)); done; echo end; exit 3") {
            _,
            output in
            for _ in 0..<4 { #expect(await output.wait(for: "start")) }
            let lines = output.lines
            let starts = zip(lines, output.times).filter { $0.0 == "start" }.map(\.1)
            let cycle = ["start"] + Array(repeating: "word", count: 200) + ["end"]
            #expect(Array(lines.prefix(3 * cycle.count)) == cycle + cycle + cycle)
            for (number, pause) in [100, 200, 400].enumerated() {
                #expect(starts[number + 1] - starts[number] >= .milliseconds(pause), "before start \(number + 2)")
            }
        }
    }

    @Test("a child that is killed is started again")
    func killed() async throws {
        try await withChild("echo $$; echo start; exec sleep 60") { _, output in
            #expect(await output.wait(for: "start"))
            let first = try #require(output.lines.first.flatMap { Int32($0) })
            #expect(kill(first, SIGKILL) == 0)
            #expect(await output.wait(for: "start"))
            #expect(output.lines[2] != output.lines[0])
        }
    }

    @Test(
        "stopping asks with the signal that was chosen, lets the child finish, and doesn't start it again",
        arguments: [SIGTERM, SIGINT]
    )
    func stop(_ signal: Int32) async throws {
        var seen: Output?
        try await withChild(
            "trap 'echo term; echo bye; exit 0' TERM; trap 'echo int; echo bye; exit 0' INT; echo start; while :; do sleep 0.01; done",
            { $0.stopSignal = signal }
        ) { child, output in
            seen = output
            #expect(await output.wait(for: "start"))
            child.stop()
            #expect(await output.wait(for: "bye"))
            #expect(await !output.wait(for: "start"))
        }
        #expect(seen?.lines == ["start", signal == SIGINT ? "int" : "term", "bye"])
    }

    @Test("a child that doesn't want to end is killed after its grace")
    func stubborn() async throws {
        let stopped = Mutex<ContinuousClock.Instant?>(nil)
        try await withChild(
            "trap '' TERM; echo start; exec sleep 600",
            { $0.stopGrace = .milliseconds(200) }
        ) { _, output in
            #expect(await output.wait(for: "start"))
            stopped.withLock { $0 = .now }
        }
        let duration = ContinuousClock.now - (try #require(stopped.withLock { $0 }))
        #expect(duration >= .milliseconds(200))
        #expect(duration < .seconds(60))
    }

    @Test("a child that waits for its next start is stopped at once", .timeLimit(.minutes(1)))
    func stopWhilePausing() async throws {
        try await withChild("echo start; exit 1", { $0.firstPause = .seconds(3_600) }) { child, output in
            #expect(await output.wait(for: "start"))
            child.stop()
        }
    }

    @Test("a program that isn't there is tried again, not given up, and is named")
    func missingProgram() async throws {
        try await withChild("", { $0.executable = "/nowhere/program" }) { _, output in
            try await eventually("two tries") { output.lines.filter { $0.contains("/nowhere/program") }.count >= 2 }
        }
    }

    @Test("no line is so long, and no byte so odd, that the child is lost")
    func oddOutput() async throws {
        try await withChild(
            "echo start; head -c 300000 /dev/zero | tr '\\0' x; echo; printf '\\377\\200 odd\\n'; echo end; exec sleep 60"
        ) { _, output in
            #expect(await output.wait(for: "end"))
            let lines = output.lines
            #expect(lines.filter { $0 == "start" }.count == 1, "it had to be started again")
            #expect(lines.contains { $0.hasSuffix(" odd") })
            #expect(lines.map(\.utf8.count).reduce(0, +) >= 300_000)
        }
    }

    @Test("a child runs as the account that was chosen", .enabled(if: geteuid() == 0, "only root can choose"))
    func account() async throws {
        try await withChild("id -un; id -gn; exec sleep 60", { $0.account = "daemon" }) { _, output in
            #expect(await output.wait(for: "daemon"))
            #expect(await output.wait(for: "daemon"))
        }
    }

    @Test("a child whose first start is refused isn't started again, one that has worked is")
    func refusal() async throws {
        let error = await #expect(throws: ChildRefusal.self) {
            try await withChild("echo wrong; exit 2", { $0.refusal = 2 }) { _, output in
                #expect(await output.wait(for: "wrong"))
                #expect(await !output.wait(for: "wrong"))
            }
        }
        #expect(error?.description.hasPrefix("child can't be started") == true)
        let folder = try TemporaryDirectory()
        let script = "echo start; test -e \(folder.path)/once && exit 2; touch \(folder.path)/once; exit 1"
        try await withChild(script, { $0.refusal = 2 }) { _, output in
            for _ in 0..<3 { #expect(await output.wait(for: "start")) }
        }
    }
}
