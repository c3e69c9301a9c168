// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A cache in memory that stays within a cost and forgets what is too old.
///
/// Two generations stand in for an exact order of use: what was used since the last turnover is in the young one, and
/// what wasn't is dropped with the old one. Every operation takes constant time.
package final class BoundedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let value: Value
        let cost: Int
        let expiry: ContinuousClock.Instant
    }

    private struct State {
        var young: [Key: Entry] = [:]
        var old: [Key: Entry] = [:]
        var youngCost = 0
    }

    private let maximumCost: Int
    private let lifetime: Duration
    private let clock = ContinuousClock()
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximumCost: sum of costs that is never passed
    ///   - lifetime: after which an entry isn't believed any more
    package init(maximumCost: Int, lifetime: Duration) {
        self.maximumCost = maximumCost
        self.lifetime = lifetime
    }

    package subscript(_ key: Key) -> Value? {
        let now = clock.now
        return state.withLock { state in
            if let entry = state.young[key] { return entry.expiry > now ? entry.value : nil }
            guard let entry = state.old.removeValue(forKey: key), entry.expiry > now else { return nil }
            insert(entry, for: key, in: &state)
            return entry.value
        }
    }

    /// Takes the place of what the key had. What would push out half of the others isn't kept.
    package func insert(_ value: Value, for key: Key, cost: Int = 1) {
        guard cost <= maximumCost / 2 else { return remove(key) }
        let entry = Entry(value: value, cost: cost, expiry: clock.now + lifetime)
        state.withLock { insert(entry, for: key, in: &$0) }
    }

    package func remove(_ key: Key) {
        state.withLock { state in
            if let entry = state.young.removeValue(forKey: key) { state.youngCost -= entry.cost }
            state.old[key] = nil
        }
    }

    package func removeAll() {
        state.withLock { $0 = State() }
    }

    private func insert(_ entry: Entry, for key: Key, in state: inout State) {
        if let replaced = state.young[key] { state.youngCost -= replaced.cost }
        state.old[key] = nil
        if state.youngCost + entry.cost > maximumCost / 2 {
            state.old = state.young
            state.old[key] = nil
            state.young = [:]
            state.youngCost = 0
        }
        state.young[key] = entry
        state.youngCost += entry.cost
    }
}
