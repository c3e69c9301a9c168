// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// A program that a test runs, with its lines kept. Killed at the latest when the test lets go of it; the kernel kills it
/// when the test process dies.
package final class TestProcess: Sendable {
    package let name: String
    private let child: Child
    private let output = ProgramOutput()

    /// - Parameter environment: added to our own
    package init(_ path: String, _ arguments: [String] = [], environment: [String: String] = [:]) async throws {
        name = URL(filePath: path).lastPathComponent
        let words = ["/usr/bin/setpriv", "--pdeathsig=KILL", "--", path] + arguments
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        // The kernel kills the program when the *thread* that started it ends, and threads of the cooperative pool end
        // after some idle seconds. So the thread that reads its lines starts it.
        child = try await withCheckedThrowingContinuation { [output] start in
            Thread {
                var ends: (read: Int32, write: Int32) = (-1, -1)
                let result = Result {
                    ends = try Child.makePipe()
                    defer { close(ends.write) }
                    return try Child(words, environment: variables, output: ends.write)
                }
                start.resume(with: result)
                if case .success(let child) = result {
                    output.read(from: ends.read)
                    output.finish(status: child.wait())
                }
                if ends.read != -1 { close(ends.read) }
            }.start()
        }
    }

    deinit { child.kill(SIGKILL) }

    package var processID: Int32 { child.processID }

    package var lines: [String] { output.lines }

    package func kill(_ signal: Int32) { child.kill(signal) }

    /// The first line that contains the text, past or to come.
    @discardableResult
    package func line(containing text: String, within limit: Duration = .seconds(120)) async throws -> String {
        if let line = await output.wait(for: text, within: limit) { return line }
        throw TestSupportError("\(name) never said \"\(text)\":\n\(lines.suffix(30).joined(separator: "\n"))")
    }

    /// Exit status, or the negative number of the signal that ended it.
    package func exitStatus(within limit: Duration = .seconds(120)) async throws -> Int32 {
        _ = await output.wait(for: nil, within: limit)
        guard let status = output.status else { throw TestSupportError("\(name) doesn't end") }
        return status
    }

    /// Ends it and waits for its end.
    @discardableResult
    package func stop(_ signal: Int32 = SIGTERM, within limit: Duration = .seconds(120)) async throws -> Int32 {
        kill(signal)
        return try await exitStatus(within: limit)
    }

    /// Peak resident memory in bytes.
    package func peakMemoryBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(processID)/status", encoding: .utf8)
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
            let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw TestSupportError("no VmHWM for \(name)") }
        return kilobytes * 1024
    }
}
