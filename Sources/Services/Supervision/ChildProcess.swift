// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Logging
import Subprocess
import Synchronization
import SystemPackage
import Waiting

/// A process that is kept running: started again, with growing pauses, whenever it ends by itself.
package final class ChildProcess: Sendable {
    package struct Configuration: Sendable {
        /// Prefix of its lines in our output.
        package var name: String
        package var executable: String
        package var arguments: [String] = []
        package var environment: [String: String] = [:]
        /// Signal that asks it to end.
        package var stopSignal: Int32 = SIGTERM
        /// How long it may take to end before it is killed.
        package var stopGrace: Duration = .seconds(20)
        /// Before a start that follows a crash; each next crash doubles it, up to ten seconds.
        package var firstPause: Duration = .milliseconds(100)
        /// Account to run as; nil for our own.
        package var account: String?
        /// Exit status of a first start that says that another one would end alike; nil for none.
        package var refusal: Int32?

        package init(name: String, executable: String) {
            self.name = name
            self.executable = executable
        }
    }

    /// Between starts that follow each other's crashes.
    private static let longestPause: Duration = .seconds(10)
    /// A process that ran for so long is healthy: its next crash counts as the first.
    private static let healthyAfter: Duration = .seconds(30)

    private let configuration: Configuration
    private let output: @Sendable (String) -> Void
    private let logger: Logger
    private let stopping = StopFlag()

    /// - Parameter output: takes each line that the process prints, without its line break
    package init(_ configuration: Configuration, output: @escaping @Sendable (String) -> Void, logger: Logger) {
        self.configuration = configuration
        self.output = output
        self.logger = logger
    }

    package var name: String { configuration.name }

    /// Runs the process until ``stop()``; returns once it has ended.
    /// - Throws: ``ChildRefusal``
    package func run() async throws {
        var pause = configuration.firstPause
        var isFirst = true
        while !stopping.isSet {
            try Task.checkCancellation()
            let start = ContinuousClock.now
            let end: String
            // A start that fails, for want of memory perhaps, is no other thing than a crash.
            do {
                let status = try await runOnce()
                // One that has worked is started again in any case: the others do work.
                if isFirst, let refusal = configuration.refusal, status == .exited(refusal) {
                    throw ChildRefusal(name: name, status: refusal)
                }
                end = "\(status)"
            } catch let error as SubprocessError {
                end = "\(error)"
            }
            isFirst = false
            if stopping.isSet { return }
            if ContinuousClock.now - start > Self.healthyAfter { pause = configuration.firstPause }
            logger.warning(
                "process ended, starting it again",
                metadata: ["process": "\(name)", "status": "\(end)", "pause": "\(pause)"]
            )
            await stopping.wait(atMost: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    /// Asks the process to end. `run()` returns when it has.
    package func stop() { stopping.set() }

    private func runOnce() async throws -> TerminationStatus {
        var options = PlatformOptions()
        // A process group of its own: Ctrl-C at the terminal goes to us, and we end the children in order.
        options.processGroupID = 0
        var changes: [Environment.Key: String?] = [:]
        for (key, value) in configuration.environment {
            if let key = Environment.Key(rawValue: key) { changes[key] = value }
        }
        return try await Subprocess.run(
            .path(FilePath(Setpriv.path)),
            arguments: Arguments(
                Setpriv.arguments(account: configuration.account, deathSignal: configuration.stopSignal)
                    + [configuration.executable] + configuration.arguments
            ),
            environment: .inherit.updating(changes),
            platformOptions: options,
            input: .none,
            output: .sequence,
            error: .combinedWithOutput
        ) { execution in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let stopping = stopping
                let teardown = TeardownStep.send(
                    signal: .init(rawValue: configuration.stopSignal),
                    allowedDurationToNextStep: configuration.stopGrace
                )
                group.addTask {
                    await stopping.wait()
                    // Cancelled when the process ended by itself; after the grace it is killed.
                    if stopping.isSet { await execution.teardown(using: [teardown]) }
                }
                // No line is worth a restart, however long it is.
                for try await line in execution.standardOutput.strings(bufferingPolicy: .unbounded) { output(line) }
                group.cancelAll()
            }
        }.terminationStatus
    }
}
