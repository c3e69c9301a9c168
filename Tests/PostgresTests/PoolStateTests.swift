// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Postgres

@Suite("Pool transitions")
struct PoolStateTests {
    private typealias Pool = PoolState<Int, String>

    private static let start = ContinuousClock.now

    private func text(_ lease: Pool.Lease) -> String {
        switch lease {
        case .use(let connection): "use \(connection)"
        case .connect: "connect"
        case .wait: "wait"
        case .closed: "closed"
        }
    }

    private func text(_ action: Pool.GiveBack) -> String {
        switch action {
        case .hand(let waiter, let connection): "hand \(connection) to \(waiter)"
        case .connect(let waiter): "\(waiter) connects"
        case .kept: "kept"
        }
    }

    /// A pool whose connections are all leased.
    private func busyPool(_ maximum: Int = 1) -> Pool {
        var pool = Pool(maximum: maximum)
        for _ in 0..<maximum { _ = pool.lease() }
        return pool
    }

    @Test("an empty pool connects until it is full, then waits")
    func leaseUntilFull() {
        var pool = Pool(maximum: 2)
        let leases = [text(pool.lease()), text(pool.lease()), text(pool.lease())]
        #expect(leases == ["connect", "connect", "wait"])
        let count = pool.count
        #expect(count == 2)
    }

    @Test("the connection that was used last is used next")
    func lastInFirstOut() {
        var pool = busyPool(2)
        _ = pool.giveBack(1, now: Self.start)
        _ = pool.giveBack(2, now: Self.start)
        let leases = [text(pool.lease()), text(pool.lease()), text(pool.lease())]
        #expect(leases == ["use 2", "use 1", "wait"])
    }

    @Test("waiters are served in the order in which they came")
    func firstInFirstOut() {
        var pool = busyPool()
        let isQueued = [pool.enqueue("a", id: 1), pool.enqueue("b", id: 2)]
        #expect(isQueued == [true, true])
        let actions = [
            text(pool.giveBack(1, now: Self.start)), text(pool.giveBack(1, now: Self.start)),
            text(pool.giveBack(1, now: Self.start)),
        ]
        #expect(actions == ["hand 1 to a", "hand 1 to b", "kept"])
    }

    @Test("nobody queues while a connection is idle, while there is room for one, or once the pool is closed")
    func enqueueRefused() {
        var withIdle = busyPool()
        _ = withIdle.giveBack(1, now: Self.start)
        let besideIdle = withIdle.enqueue("a", id: 1)
        #expect(!besideIdle)

        var withRoom = busyPool()
        _ = withRoom.drop()
        let besideRoom = withRoom.enqueue("a", id: 1)
        #expect(!besideRoom)

        var closed = busyPool()
        _ = closed.close()
        let afterClose = closed.enqueue("a", id: 1)
        #expect(!afterClose)
    }

    @Test("a waiter that cancels is returned once and never served")
    func cancel() {
        var pool = busyPool()
        _ = pool.enqueue("a", id: 1)
        _ = pool.enqueue("b", id: 2)
        let cancelled = [pool.cancel(1), pool.cancel(1), pool.cancel(9)]
        #expect(cancelled == ["a", nil, nil])
        let action = text(pool.giveBack(1, now: Self.start))
        #expect(action == "hand 1 to b")
        let served = pool.cancel(2)
        #expect(served == nil)
    }

    @Test("a dropped connection makes room, for the first waiter if there is one")
    func drop() {
        var pool = busyPool()
        _ = pool.enqueue("a", id: 1)
        let first = text(pool.drop())
        #expect(first == "a connects")
        var count = pool.count
        #expect(count == 1, "the waiter's new connection counts from now on")
        let second = text(pool.drop())
        #expect(second == "kept")
        count = pool.count
        #expect(count == 0)
        let lease = text(pool.lease())
        #expect(lease == "connect")
    }

    @Test("idle connections that are unused for long, or old, are taken out and make room")
    func takeIdle() {
        var pool = busyPool(4)
        for (connection, age) in [(1, 10), (2, 5), (3, 1), (4, 1)] {
            _ = pool.giveBack(connection, now: Self.start - .seconds(age))
        }
        let taken = pool.takeIdle(since: Self.start - .seconds(5)) { $0 == 4 }
        #expect(taken == [1, 4], "2 was used exactly at the limit")
        let count = pool.count
        #expect(count == 2)
        let leases = [text(pool.lease()), text(pool.lease()), text(pool.lease())]
        #expect(leases == ["use 3", "use 2", "connect"])
    }

    @Test("connections in use are never taken for idle")
    func takeIdleLeavesBusy() {
        var pool = busyPool(2)
        let taken = pool.takeIdle(since: Self.start + .seconds(3_600)) { _ in true }
        #expect(taken.isEmpty)
        let count = pool.count
        #expect(count == 2)
    }

    @Test("closing returns what is idle and who waits, and refuses the rest")
    func close() {
        var pool = busyPool(2)
        _ = pool.giveBack(1, now: Self.start)
        let (idle, none) = pool.close()
        #expect(idle == [1])
        #expect(none.isEmpty)
        var count = pool.count
        #expect(count == 1, "the one in use is still there")
        let lease = text(pool.lease())
        #expect(lease == "closed")
        let action = text(pool.giveBack(2, now: Self.start))
        #expect(action == "kept")
        count = pool.count
        #expect(count == 0)
        let again = pool.close()
        #expect(again.idle.isEmpty && again.waiters.isEmpty)
    }

    @Test("closing releases the waiters, and a connection that is dropped later serves none of them")
    func closeWithWaiters() {
        var pool = busyPool()
        _ = pool.enqueue("a", id: 1)
        _ = pool.enqueue("b", id: 2)
        let waiters = pool.close().waiters
        #expect(waiters == ["a", "b"])
        let cancelled = pool.cancel(1)
        #expect(cancelled == nil)
        let action = text(pool.drop())
        #expect(action == "kept")
    }

    @Test("after any history nobody shares a connection, the bound holds, and nobody waits beside a free one")
    func anyHistory() {
        var random = SplitMix(state: 42)
        var pool = Pool(maximum: 3)
        var held: [Int] = []
        var waiting: [UInt64] = []
        var connecting = 0
        var next = 1
        func take(_ action: Pool.GiveBack) {
            switch action {
            case .hand(let waiter, let connection):
                #expect(waiter == waiting.first.map { "\($0)" }, "out of turn")
                waiting.removeFirst()
                held.append(connection)
            case .connect(let waiter):
                #expect(waiter == waiting.first.map { "\($0)" }, "out of turn")
                waiting.removeFirst()
                connecting += 1
            case .kept:
                #expect(waiting.isEmpty, "somebody waits for what was kept")
            }
        }
        for step in 0..<5_000 {
            switch Int.random(in: 0..<7, using: &random) {
            case 0, 1, 2:
                switch pool.lease() {
                case .use(let connection): held.append(connection)
                case .connect: connecting += 1
                case .wait:
                    let id = UInt64(step)
                    if pool.enqueue("\(id)", id: id) { waiting.append(id) }
                case .closed: Issue.record("nobody closed it")
                }
            case 3 where connecting > 0:
                connecting -= 1
                held.append(next)
                next += 1
            case 4 where connecting > 0:
                connecting -= 1
                take(pool.drop())
            case 5 where !waiting.isEmpty:
                let id = waiting.remove(at: Int.random(in: waiting.indices, using: &random))
                let waiter = pool.cancel(id)
                #expect(waiter == "\(id)")
            case 6 where !held.isEmpty:
                let connection = held.remove(at: Int.random(in: held.indices, using: &random))
                let isBroken = Int.random(in: 0..<4, using: &random) == 0
                take(isBroken ? pool.drop() : pool.giveBack(connection, now: Self.start))
            default: break
            }
            let count = pool.count
            #expect(Set(held).count == held.count, "two hold one connection")
            #expect(count <= 3 && count >= held.count + connecting)
        }
    }
}

/// The same numbers at every run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
