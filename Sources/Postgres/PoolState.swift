// SPDX-License-Identifier: Apache-2.0

/// Who has which connection, and who waits for one. Pure: the caller does what it is told, outside of its lock.
struct PoolState<Connection: Sendable, Waiter>: ~Copyable {
    enum Lease {
        /// Use this one, after a look whether it still lives.
        case use(Connection)
        /// There is room: make one.
        case connect
        /// Wait; the id is for ``cancel(_:)``.
        case wait
        case closed
    }

    enum GiveBack {
        /// Hand it to this waiter.
        case hand(Waiter, Connection)
        /// Let this waiter make one in place of the one that was dropped.
        case connect(Waiter)
        /// Nothing to do.
        case kept
    }

    private let maximum: Int
    /// Most recently used last.
    private var idle: [(connection: Connection, since: ContinuousClock.Instant)] = []
    /// Connections that exist or are being made.
    private(set) var count = 0
    private var waiters: [(id: UInt64, waiter: Waiter)] = []
    private var isClosed = false

    init(maximum: Int) { self.maximum = maximum }

    mutating func lease() -> Lease {
        if isClosed { return .closed }
        if let last = idle.popLast() { return .use(last.connection) }
        guard count < maximum else { return .wait }
        count += 1
        return .connect
    }

    /// False when a connection came free, or the pool was closed, since ``lease()`` said wait.
    mutating func enqueue(_ waiter: Waiter, id: UInt64) -> Bool {
        guard !isClosed, idle.isEmpty, count >= maximum else { return false }
        waiters.append((id, waiter))
        return true
    }

    mutating func cancel(_ id: UInt64) -> Waiter? {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return nil }
        return waiters.remove(at: index).waiter
    }

    /// A connection is free again.
    mutating func giveBack(_ connection: Connection, now: ContinuousClock.Instant) -> GiveBack {
        if isClosed {
            count -= 1
            return .kept
        }
        guard !waiters.isEmpty else {
            idle.append((connection, now))
            return .kept
        }
        return .hand(waiters.removeFirst().waiter, connection)
    }

    /// A connection is gone, or couldn't be made.
    mutating func drop() -> GiveBack {
        guard !isClosed, !waiters.isEmpty else {
            count -= 1
            return .kept
        }
        return .connect(waiters.removeFirst().waiter)
    }

    /// Takes out what hasn't been used since then.
    mutating func takeIdle(since limit: ContinuousClock.Instant, or isOld: (Connection) -> Bool) -> [Connection] {
        let old = idle.filter { $0.since < limit || isOld($0.connection) }.map(\.connection)
        idle.removeAll { $0.since < limit || isOld($0.connection) }
        count -= old.count
        return old
    }

    mutating func close() -> (idle: [Connection], waiters: [Waiter]) {
        isClosed = true
        defer {
            count -= idle.count
            idle = []
            waiters = []
        }
        return (idle.map(\.connection), waiters.map(\.waiter))
    }
}
