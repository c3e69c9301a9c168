// SPDX-License-Identifier: Apache-2.0

import Metrics
import Synchronization

/// A handler that doesn't bind itself to one kind of metric.
protocol MetricSeries: AnyObject, Sendable {
    /// Lines of the exposition.
    /// - Parameter labels: `name="value"` pairs, separated by commas; empty for none
    func lines(_ name: String, _ labels: String) -> [String]
}

final class CounterSeries: MetricSeries, CounterHandler {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }

    func reset() { value.store(0, ordering: .relaxed) }

    func lines(_ name: String, _ labels: String) -> [String] {
        [Exposition.line(name, labels, "\(value.load(ordering: .relaxed))")]
    }
}

final class GaugeSeries: MetricSeries, MeterHandler {
    private let bits = Atomic<UInt64>(Double(0).bitPattern)

    func set(_ value: Int64) { set(Double(value)) }

    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    func increment(by amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (isDone, seen) = bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if isDone { return }
            old = seen
        }
    }

    func decrement(by amount: Double) { increment(by: -amount) }

    func lines(_ name: String, _ labels: String) -> [String] {
        [Exposition.line(name, labels, Exposition.number(Double(bitPattern: bits.load(ordering: .relaxed))))]
    }
}

final class HistogramSeries: MetricSeries, RecorderHandler, TimerHandler {
    private struct State {
        /// One more than there are bounds.
        var counts: [Int64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        // A bucket holds what is at its bound, too.
        var bucket = 0
        while bucket < bounds.count, value > bounds[bucket] { bucket += 1 }
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func lines(_ name: String, _ labels: String) -> [String] {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        let prefix = labels.isEmpty ? "" : labels + ","
        var lines: [String] = []
        var total: Int64 = 0
        for (count, bound) in zip(counts, bounds.map(Exposition.number) + ["+Inf"]) {
            total += count
            lines.append(Exposition.line(name + "_bucket", "\(prefix)le=\"\(bound)\"", "\(total)"))
        }
        lines.append(Exposition.line(name + "_sum", labels, Exposition.number(sum)))
        lines.append(Exposition.line(name + "_count", labels, "\(total)"))
        return lines
    }
}

/// Prometheus' text format, version 0.0.4.
enum Exposition {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    static func line(_ name: String, _ labels: String, _ value: String) -> String {
        labels.isEmpty ? "\(name) \(value)" : "\(name){\(labels)} \(value)"
    }

    static func number(_ value: Double) -> String {
        if let whole = Int64(exactly: value) { return "\(whole)" }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return "\(value)"
    }

    /// `name="value"` pairs in the order of their names.
    static func labels(_ dimensions: [(String, String)]) -> String {
        dimensions.sorted { $0.0 < $1.0 }.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        for character in value {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n", "\r\n": text += "\\n"
            default: text.append(character)
            }
        }
        return text
    }
}
