// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Waits on descriptors with a deadline.
enum PQWait {
    enum Outcome { case ready, woken, timeout }

    /// Returns the events that came, none when the deadline passed.
    static func poll(
        _ descriptor: Int32,
        for events: Int16,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) -> Int16 {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        try wait(&entry, 1, until: deadline)
        return entry.revents
    }

    /// Waits for the socket or for somebody who writes to the wake descriptor.
    static func poll(
        _ descriptor: Int32,
        orWake wake: Int32,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) -> Outcome {
        var entries = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
        ]
        try wait(&entries, 2, until: deadline)
        if entries[1].revents != 0 { return .woken }
        return entries[0].revents != 0 ? .ready : .timeout
    }

    private static func wait(
        _ entries: UnsafeMutablePointer<pollfd>,
        _ count: nfds_t,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) {
        while true {
            let rest = max(.zero, deadline - .now)
            // Rounded up: a wait that ends early would turn its last millisecond into a busy loop.
            let milliseconds = Int32(clamping: Int64((rest / .milliseconds(1)).rounded(.up)))
            let ready = Glibc.poll(entries, count, milliseconds)
            if ready >= 0 { return }
            guard errno == EINTR else {
                throw PostgresError(.connectionLost, "poll: \(String(cString: strerror(errno)))")
            }
        }
    }
}
