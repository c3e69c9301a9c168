// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

/// A small organization, made at random from a seed.
private struct World {
    var graph = PruneGraph()
    var candidates: [PruneCandidate] = []
    private var members: [PruneGraph.MemberKey: PruneGraph.Member] = [:]
    private var contents: [Int: PruneGraph.Content] = [:]

    init(using random: inout some RandomNumberGenerator) {
        let sizes = (0..<Int.random(in: 1...12, using: &random)).map { _ in Int64.random(in: 0...100, using: &random) }
        let count = Int64.random(in: 1...10, using: &random)
        var keepers = [Int](repeating: 0, count: Int(count))
        var children = [[Int64]](repeating: [], count: Int(count))
        // An index lists younger manifests only, so that there are no circles.
        for parent in 0..<count where Bool.random(using: &random) && Bool.random(using: &random) {
            for child in (parent + 1)..<max(parent + 1, count) where Bool.random(using: &random) {
                children[Int(parent)].append(child)
            }
        }
        for index in 0..<count {
            let roots = Int.random(in: 0...2, using: &random)
            for root in 0..<roots {
                candidates.append(
                    PruneCandidate(
                        root: root == 0 ? .hold : .tag(TagID(rawValue: index * 10 + Int64(root))),
                        member: Self.key(index)
                    )
                )
            }
            keepers[Int(index)] = roots
        }
        candidates.shuffle(using: &random)
        // Lists of what is alive keep alive.
        for parent in 0..<Int(count) where keepers[parent] > 0 {
            for child in children[parent] { keepers[Int(child)] += 1 }
        }
        for index in 0..<Int(count) where keepers[index] > 0 {
            let owned = sizes.indices.filter { _ in Bool.random(using: &random) }
            for id in owned {
                let holders = contents[id]?.holders ?? 0
                contents[id] = .init(bytes: sizes[id], holders: holders + 1)
            }
            members[Self.key(Int64(index))] = .init(
                keepers: keepers[index],
                children: children[index].map(Self.key),
                contents: owned
            )
        }
        graph.add(members: members, contents: contents)
    }

    private static func key(_ manifest: Int64) -> PruneGraph.MemberKey {
        .init(repository: RepositoryID(rawValue: 1), manifest: ManifestID(rawValue: manifest))
    }

    /// Bytes that are alive when only these candidates are left, found by walking from them.
    func live(_ left: [PruneCandidate]) -> Int64 {
        var seen: Set<PruneGraph.MemberKey> = []
        var waiting = left.map(\.member)
        while let key = waiting.popLast() {
            guard seen.insert(key).inserted else { continue }
            waiting += members[key]?.children ?? []
        }
        let ids = Set(seen.flatMap { members[$0]?.contents ?? [] })
        return ids.reduce(0) { $0 + (contents[$1]?.bytes ?? 0) }
    }
}

@Suite("What is pruned")
struct PruneRulesTests {
    @Test("is enough, is the least recently used, has nothing in vain, and is nothing at all when it can't be enough")
    func victims() async {
        for seed in 0..<3_000 {
            if seed.isMultiple(of: 100) { await Task.yield() }  // others need the pool's few threads
            var random = SplitMix(state: UInt64(seed))
            let world = World(using: &random)
            let whole = world.live(world.candidates)
            let deficit = Int64.random(in: 1...max(2, whole + 20), using: &random)
            guard let victims = PruneRules.victims(among: world.candidates, freeing: deficit, in: world.graph) else {
                #expect(whole < deficit, "seed \(seed): all of it would have been enough")
                continue
            }
            let left = world.candidates.filter { !victims.contains($0) }
            #expect(whole - world.live(left) >= deficit, "seed \(seed): enough")
            // Without the most recently used victim, and all that are younger, it isn't.
            let last = world.candidates.lastIndex { victims.contains($0) } ?? 0
            #expect(whole - world.live(Array(world.candidates[last...])) < deficit, "seed \(seed): none too young")
            let freed = PruneRules.freed(by: victims, in: world.graph)
            for victim in victims {
                let others = victims.filter { $0 != victim }
                #expect(PruneRules.freed(by: others, in: world.graph) < freed, "seed \(seed): \(victim) in vain")
            }
        }
    }

    @Test("comes in parts, each of which frees something, until it is enough")
    func parts() async {
        for seed in 0..<1_000 {
            if seed.isMultiple(of: 100) { await Task.yield() }  // others need the pool's few threads
            var random = SplitMix(state: UInt64(seed))
            let world = World(using: &random)
            let whole = world.live(world.candidates)
            let deficit = Int64.random(in: 1...max(2, whole + 20), using: &random)
            var (rest, left, graph) = (deficit, world.candidates, world.graph)
            while rest > 0, let part = PruneRules.firstVictims(among: left, freeing: rest, count: 2, in: graph) {
                var freed: Int64 = 0
                for victim in part { freed += graph.release(victim.member) }
                #expect(freed > 0, "seed \(seed): in vain")
                left.removeAll { part.contains($0) }
                rest -= freed
            }
            #expect((rest <= 0) == (deficit <= whole), "seed \(seed): enough")
        }
    }

    private func quota(_ limit: Int64, reject: Int? = nil) -> Quota {
        let threshold = reject.map { QuotaThreshold(id: QuotaThresholdID(rawValue: 1), kind: .reject, percent: $0) }
        return Quota(id: QuotaID(rawValue: 1), limitBytes: limit, thresholds: threshold.map { [$0] } ?? [])
    }

    @Test(
        "before anything is pruned: an image that fits to the byte fits, one that is larger than the limit never does",
        arguments: [
            (missing: Int64(10), size: Int64(10), used: Int64(90), Admission.fits),
            (11, 11, 90, nil), (101, 101, 0, .cannotFit), (100, 100, 0, .fits), (0, 500, 100, .fits),
            (1, 101, 100, .cannotFit),
        ]
    )
    func beforePruning(_ row: (missing: Int64, size: Int64, used: Int64, Admission?)) {
        let usage = Usage(usedBytes: row.used / 2, reservedBytes: row.used - row.used / 2)
        let found = AdmissionRules.beforePruning(missing: row.missing, size: row.size, usage: usage, quota: quota(100))
        #expect(found == row.3)
    }

    @Test("a Reject threshold refuses what is new from its first byte on, and nothing without a quota")
    func reject() {
        let quota = quota(1_000, reject: 80)
        func ask(_ used: Int64, _ missing: Int64) -> Admission? {
            AdmissionRules.beforePruning(missing: missing, size: missing, usage: Usage(usedBytes: used), quota: quota)
        }
        #expect(ask(799, 1) == .fits)
        #expect(ask(800, 1) == .rejected(percent: 80))
        #expect(ask(800, 0) == .fits)
        #expect(AdmissionRules.beforePruning(missing: 9, size: 9, usage: Usage(usedBytes: 9), quota: nil) == .fits)
    }

    @Test("what is arriving isn't pruned: room that only it would make is to be waited for")
    func inFlight() {
        let key = PruneGraph.MemberKey(repository: RepositoryID(rawValue: 1), manifest: ManifestID(rawValue: 1))
        var graph = PruneGraph()
        graph.add(
            members: [key: .init(keepers: 1, children: [], contents: [0])],
            contents: [0: .init(bytes: 50, holders: 1)]
        )
        let idle = PruneCandidate(root: .hold, member: key)
        let arriving = PruneCandidate(root: .hold, member: key, isInFlight: true)
        #expect(AdmissionRules.byPruning(deficit: 50, candidates: [idle], graph: graph) == .prune([idle]))
        #expect(AdmissionRules.byPruning(deficit: 50, candidates: [arriving], graph: graph) == .later)
        #expect(AdmissionRules.byPruning(deficit: 51, candidates: [arriving], graph: graph) == .cannotFit)
    }
}

/// Steele's, Lea's and Flood's generator: the same sequence for a seed on every machine.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
