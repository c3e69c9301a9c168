// SPDX-License-Identifier: Apache-2.0

import PullThrough
import TestSupport
import Testing

@Suite("Bounded cache")
struct BoundedCacheTests {
    private func cache(_ maximumCost: Int, lifetime: Duration = .seconds(3_600)) -> BoundedCache<Int, String> {
        BoundedCache(maximumCost: maximumCost, lifetime: lifetime)
    }

    @Test("what was put in is found, what wasn't is not")
    func basics() {
        let cache = cache(10)
        #expect(cache[1] == nil)
        cache.insert("one", for: 1)
        #expect(cache[1] == "one")
        #expect(cache[2] == nil)
    }

    @Test("the sum of costs is never passed", arguments: [1, 2, 3, 7], [10, 11, 64])
    func bound(_ cost: Int, _ maximum: Int) {
        let cache = cache(maximum)
        for key in 0..<200 {
            cache.insert("x", for: key, cost: cost)
            #expect(cache[key] == (cost <= maximum / 2 ? "x" : nil), "the newest is always there")
        }
        let kept = (0..<200).filter { cache[$0] != nil }
        #expect(kept.count * cost <= maximum)
    }

    @Test("an entry that would push out half of the others isn't kept")
    func tooCostly() {
        let cache = cache(10)
        cache.insert("a", for: 1, cost: 5)
        cache.insert("b", for: 2, cost: 6)
        #expect(cache[1] == "a")
        #expect(cache[2] == nil)
        let tiny = self.cache(1)
        tiny.insert("a", for: 1)
        #expect(tiny[1] == nil)
    }

    @Test("a value that is too costly to keep takes the place of an older one all the same")
    func tooCostlyReplacement() {
        let cache = cache(10)
        cache.insert("old", for: 1)
        cache.insert("new", for: 1, cost: 6)
        #expect(cache[1] == nil, "the old value isn't true any more")
    }

    @Test("what is used stays, what isn't goes")
    func recency() {
        let cache = cache(8)
        cache.insert("used", for: -1)
        cache.insert("unused", for: -2)
        for key in 0..<100 {
            cache.insert("x", for: key)
            #expect(cache[-1] == "used")
        }
        #expect(cache[-2] == nil)
    }

    @Test("a replaced value is gone, wherever the old one was kept")
    func replace() {
        let cache = cache(8)
        cache.insert("old", for: 0)
        for key in 1...4 { cache.insert("x", for: key) }
        cache.insert("new", for: 0)
        #expect(cache[0] == "new")
        cache.insert("newest", for: 0)
        #expect(cache[0] == "newest")
        for key in 5...7 { cache.insert("x", for: key) }
        #expect(cache[0] == "newest")
    }

    @Test("a value that is replaced costs once")
    func replacedCost() {
        let cache = cache(10)
        cache.insert("neighbour", for: 1)
        for number in 0..<100 { cache.insert("\(number)", for: 2, cost: 4) }
        #expect(cache[1] == "neighbour")
        #expect(cache[2] == "99")
    }

    @Test("what is removed is gone and costs nothing")
    func remove() {
        let cache = cache(10)
        for round in 0..<20 {
            cache.insert("\(round)", for: round, cost: 4)
            cache.remove(round)
            #expect(cache[round] == nil)
        }
        cache.insert("a", for: 100, cost: 4)
        cache.insert("b", for: 101)
        #expect(cache[100] == "a")
        #expect(cache[101] == "b")
        cache.remove(102)
        #expect(cache[100] == "a")
    }

    @Test("removing finds an entry that hasn't been used for a while, too")
    func removeOld() {
        let cache = cache(8)
        for key in 0..<8 { cache.insert("x", for: key) }
        for key in 0..<8 {
            cache.remove(key)
            #expect(cache[key] == nil)
        }
    }

    @Test("everything can be forgotten at once")
    func removeAll() {
        let cache = cache(8)
        for key in 0..<8 { cache.insert("x", for: key) }
        cache.removeAll()
        #expect((0..<8).allSatisfy { cache[$0] == nil })
        for key in 0..<4 { cache.insert("y", for: key) }
        #expect((0..<4).allSatisfy { cache[$0] == "y" })
    }

    @Test("an entry that is too old isn't believed")
    func expiry() {
        let cache = cache(8, lifetime: .zero)
        cache.insert("a", for: 1)
        #expect(cache[1] == nil)
    }

    @Test("reading an entry doesn't make it younger")
    func expiryWhileUsed() async throws {
        let cache = cache(4, lifetime: .milliseconds(40))
        cache.insert("a", for: 1)
        try await eventually("the entry expires though it is read all the time", within: .seconds(5)) {
            cache.insert("x", for: 2)
            cache.insert("y", for: 3)
            return cache[1] == nil
        }
    }

    @Test("an expired value can be replaced by a fresh one")
    func freshAfterExpiry() async throws {
        let cache = cache(8, lifetime: .milliseconds(20))
        cache.insert("old", for: 1)
        try await eventually("the entry expires", within: .seconds(5)) { cache[1] == nil }
        cache.insert("new", for: 1)
        #expect(cache[1] != "old")
    }

    @Test("many may use it at once")
    func concurrency() async {
        let cache = cache(64)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for round in 0..<500 {
                        let key = (round * 7 + task) % 40
                        if let value = cache[key] { #expect(value == "\(key)") }
                        cache.insert("\(key)", for: key, cost: 1 + key % 3)
                        if round % 50 == 0 { cache.remove(key) }
                    }
                }
            }
        }
        let kept = (0..<40).filter { cache[$0] != nil }
        #expect(kept.reduce(0) { $0 + 1 + $1 % 3 } <= 64)
    }
}
