// SPDX-License-Identifier: Apache-2.0

import Metrics
import TestSupport
import Testing

@testable import ServiceRuntime

@Suite("Metrics")
struct MetricRegistryTests {
    private static let definitions = [
        MetricDefinition("pulls_total", .counter, "Pulls."),
        MetricDefinition("wait_seconds", .histogram([0.1, 1]), "Waits."),
        MetricDefinition("depth", .gauge, "Depth."),
    ]

    private func registry(maximumSeries: Int = 200) -> MetricRegistry {
        MetricRegistry(Self.definitions, maximumSeries: maximumSeries)
    }

    @Test("a counter adds up what its handles were told, each with its labels")
    func counter() throws {
        let registry = registry()
        let hit = [("kind", "manifest"), ("outcome", "hit")]
        registry.makeCounter(label: "pulls_total", dimensions: hit).increment(by: 2)
        registry.makeCounter(label: "pulls_total", dimensions: hit.reversed()).increment(by: 3)
        registry.makeCounter(label: "pulls_total", dimensions: []).increment(by: 1)
        let exposed = try Exposed(registry.exposition())
        #expect(exposed.types["pulls_total"] == "counter")
        #expect(exposed[#"pulls_total{kind="manifest",outcome="hit"}"#] == 5)
        #expect(exposed["pulls_total"] == 1)
    }

    @Test("a histogram's buckets hold what is at their bounds, and all that is less")
    func histogram() throws {
        let registry = registry()
        let waits = registry.makeTimer(label: "wait_seconds", dimensions: [("kind", "a")])
        for milliseconds: Int64 in [50, 100, 101, 1_000, 5_000] { waits.recordNanoseconds(milliseconds * 1_000_000) }
        let exposed = try Exposed(registry.exposition())
        #expect(exposed.types["wait_seconds"] == "histogram")
        #expect(exposed[#"wait_seconds_bucket{kind="a",le="0.1"}"#] == 2)
        #expect(exposed[#"wait_seconds_bucket{kind="a",le="1"}"#] == 4)
        #expect(exposed[#"wait_seconds_bucket{kind="a",le="+Inf"}"#] == 5)
        #expect(exposed[#"wait_seconds_count{kind="a"}"#] == 5)
        #expect(abs((exposed[#"wait_seconds_sum{kind="a"}"#] ?? 0) - 6.251) < 1e-9)
    }

    @Test("a gauge goes up and down, and is gone when it was destroyed")
    func gauge() throws {
        let registry = registry()
        let one = registry.makeMeter(label: "depth", dimensions: [("queue", "one")])
        let two = registry.makeMeter(label: "depth", dimensions: [("queue", "two")])
        one.set(2.5)
        two.increment(by: 3)
        two.decrement(by: 1)
        #expect(try Exposed(registry.exposition())[#"depth{queue="one"}"#] == 2.5)
        #expect(try Exposed(registry.exposition())[#"depth{queue="two"}"#] == 2)
        registry.destroyMeter(one)
        #expect(try Exposed(registry.exposition())[#"depth{queue="one"}"#] == nil)
        #expect(try Exposed(registry.exposition())[#"depth{queue="two"}"#] == 2)
    }

    @Test("what is beyond the bound of a metric's labels is counted together")
    func bounded() throws {
        let registry = registry(maximumSeries: 3)
        for host in 0..<1_000 {
            registry.makeCounter(label: "pulls_total", dimensions: [("upstream", "host-\(host)")]).increment(by: 1)
        }
        let exposed = try Exposed(registry.exposition())
        #expect(exposed.samples.filter { $0.key.hasPrefix("pulls_total") }.count == 4)
        #expect(exposed[#"pulls_total{upstream="host-2"}"#] == 1)
        #expect(exposed[#"pulls_total{upstream="other"}"#] == 997)
    }

    @Test("a value of a label can't end it, nor its line")
    func escaping() throws {
        let registry = registry()
        registry.makeCounter(label: "pulls_total", dimensions: [("upstream", "a\"} 7\n\\x")]).increment(by: 1)
        let exposed = try Exposed(registry.exposition())
        #expect(exposed[#"pulls_total{upstream="a\"} 7\n\\x"}"#] == 1)
    }

    @Test("what the catalogue doesn't have, or has as something else, isn't told and does no harm")
    func unknown() throws {
        let registry = registry()
        registry.makeCounter(label: "strange_total", dimensions: []).increment(by: 1)
        registry.makeCounter(label: "depth", dimensions: []).increment(by: 1)
        registry.makeTimer(label: "pulls_total", dimensions: []).recordNanoseconds(1)
        let exposed = try Exposed(registry.exposition())
        #expect(exposed["strange_total"] == nil)
        #expect(exposed.samples.allSatisfy { $0.key.hasPrefix("process_") || $0.value == 0 })
    }

    @Test("events from many tasks are all counted")
    func concurrent() async throws {
        let registry = registry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1_000 {
                        registry.makeCounter(label: "pulls_total", dimensions: []).increment(by: 1)
                        registry.makeMeter(label: "depth", dimensions: []).increment(by: 1)
                        registry.makeRecorder(label: "wait_seconds", dimensions: [], aggregate: true).record(Int64(1))
                    }
                }
            }
        }
        let exposed = try Exposed(registry.exposition())
        #expect(exposed["pulls_total"] == 8_000)
        #expect(exposed["depth"] == 8_000)
        #expect(exposed["wait_seconds_count"] == 8_000)
    }

    @Test("the process is told as Prometheus' own clients do")
    func process() throws {
        let exposed = try Exposed(MetricRegistry().exposition())
        #expect((exposed["process_resident_memory_bytes"] ?? 0) > 1_000_000)
        #expect((exposed["process_cpu_seconds_total"] ?? 0) > 0)
        #expect((exposed["process_open_fds"] ?? 0) >= 3)
        #expect((exposed["process_max_fds"] ?? 0) > 3)
        #expect((exposed["process_start_time_seconds"] ?? 0) > 1_600_000_000)
    }
}
