// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Glibc
import Synchronization

/// A child process, started with nothing of ours but its output: no other descriptor, no blocked or ignored signal.
///
/// Foundation's `Process` needs a run loop of its own for each child and leaks descriptors into children that start at the
/// same moment; a test process starts hundreds, from many threads.
final class Child: Sendable {
    let processID: pid_t
    private let isReaped = Mutex(false)
    /// Held while a child starts and while a pipe is not yet marked as ours alone.
    private static let starting = Mutex(())

    /// - Parameters:
    ///   - words: the program's path and its arguments
    ///   - output: the descriptor that becomes its standard output and standard error; nil for none
    init(_ words: [String], environment: [String: String] = ProcessInfo.processInfo.environment, output: Int32?) throws
    {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
            if let output {
                posix_spawn_file_actions_adddup2(&actions, output, descriptor)
            } else {
                posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
            }
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(flags))

        let arguments = words.map { strdup($0) }
        let variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { for text in arguments + variables { free(text) } }
        var started: pid_t = 0
        let failure = try Self.starting.withLock { _ in
            // Sockets of libraries are open to children: these would keep connections alive that the tests close.
            for descriptor in try Self.openDescriptors() where descriptor > STDERR_FILENO && descriptor != output {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
            return posix_spawn(&started, words[0], &actions, &attributes, arguments + [nil], variables + [nil])
        }
        guard failure == 0 else {
            throw TestSupportError("\(words[0]) can't be started: \(String(cString: strerror(failure)))")
        }
        processID = started
    }

    private static func openDescriptors() throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
    }

    /// A pipe that no child inherits, unless as its output.
    static func makePipe() throws -> (read: Int32, write: Int32) {
        try starting.withLock { _ in
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw TestSupportError("no pipe: \(String(cString: strerror(errno)))") }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            return (ends[0], ends[1])
        }
    }

    /// Sends a signal, unless the program has ended.
    func kill(_ signal: Int32) {
        isReaped.withLock { if !$0 { Glibc.kill(processID, signal) } }
    }

    /// Blocks until the program has ended. To be called once.
    /// - Returns: its exit status, or the negative number of the signal that ended it
    func wait() -> Int32 {
        var information = siginfo_t()
        // The process id stays ours until it is reaped, so that no signal can hit its successor.
        while waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) == -1 && errno == EINTR {}
        return isReaped.withLock { isReaped in
            var status: Int32 = 0
            while waitpid(processID, &status, 0) == -1 && errno == EINTR {}
            isReaped = true
            let signal = status & 0x7f
            return signal == 0 ? (status >> 8) & 0xff : -signal
        }
    }

    /// Blocks until the program has ended or the time is up, when it is nil. To be called once.
    func wait(within limit: DispatchTimeInterval) -> Int32? {
        let status = Handover<Int32>()
        Thread { status.give(self.wait()) }.start()
        return status.take(within: limit)
    }
}

/// Hands a value from one thread to another, which blocks for it. To be taken once.
final class Handover<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    private let isThere = DispatchSemaphore(value: 0)

    func give(_ value: Value) {
        self.value.withLock { $0 = value }
        isThere.signal()
    }

    /// Nil when the time is up first.
    func take(within limit: DispatchTimeInterval) -> Value? {
        isThere.wait(timeout: .now() + limit) == .success ? value.withLock(\.self) : nil
    }
}
