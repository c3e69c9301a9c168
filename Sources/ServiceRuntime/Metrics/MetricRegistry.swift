// SPDX-License-Identifier: Apache-2.0

import Metrics
import Synchronization

/// Keeps the metrics of this process, and tells them to Prometheus.
///
/// A handle that is looked up once costs an addition for each event. Labels come from closed sets, but for hosts and
/// organizations; so that these can't grow without end, what is beyond ``maximumSeries`` of a metric is counted together
/// as `other`.
package final class MetricRegistry: MetricsFactory {
    private struct Family {
        let definition: MetricDefinition
        /// By their labels, as they are written.
        var series: [String: any MetricSeries] = [:]
    }

    private static let other = "other"

    private let maximumSeries: Int
    private let families: Mutex<[String: Family]>

    package convenience init() { self.init(MetricDefinition.all) }

    init(_ definitions: [MetricDefinition], maximumSeries: Int = 200) {
        self.maximumSeries = maximumSeries
        families = Mutex(Dictionary(uniqueKeysWithValues: definitions.map { ($0.name, Family(definition: $0)) }))
    }

    /// All metrics that have been looked up, and those of the process, in Prometheus' text format.
    func exposition() -> String {
        // Lines are made outside of the lock: handles must not be waited for.
        let families = families.withLock { families in families.values.filter { !$0.series.isEmpty } }
        var text = ""
        for family in families.sorted(by: { $0.definition.name < $1.definition.name }) {
            let lines = family.series.sorted { $0.key < $1.key }.flatMap { $1.lines(family.definition.name, $0) }
            text += Self.text(family.definition, lines)
        }
        let readings = ProcessReadings.now()
        for definition in MetricDefinition.all {
            guard let value = readings[definition.name] else { continue }
            text += Self.text(definition, [Exposition.line(definition.name, "", Exposition.number(value))])
        }
        return text
    }

    private static func text(_ definition: MetricDefinition, _ lines: [String]) -> String {
        """
        # HELP \(definition.name) \(definition.help)
        # TYPE \(definition.name) \(definition.kind.name)
        \(lines.joined(separator: "\n"))

        """
    }

    // MARK: - MetricsFactory

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions) as? CounterSeries ?? NOOPMetricsHandler.instance
    }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions) as? GaugeSeries ?? NOOPMetricsHandler.instance
    }

    func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        series(label, dimensions) as? HistogramSeries ?? NOOPMetricsHandler.instance
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions) as? HistogramSeries ?? NOOPMetricsHandler.instance
    }

    /// Counters and histograms stay: what was counted was counted.
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}

    /// A gauge of what isn't there any more isn't told any more.
    func destroyMeter(_ handler: any MeterHandler) {
        families.withLock { families in
            for (name, family) in families {
                guard let labels = family.series.first(where: { $0.value === handler })?.key else { continue }
                families[name]?.series[labels] = nil
            }
        }
    }

    /// Nil for what the catalogue doesn't have.
    private func series(_ name: String, _ dimensions: [(String, String)]) -> (any MetricSeries)? {
        families.withLock { families in
            guard var family = families[name] else { return nil }
            var labels = Exposition.labels(dimensions)
            if let series = family.series[labels] { return series }
            if family.series.count >= maximumSeries {
                labels = Exposition.labels(dimensions.map { ($0.0, Self.other) })
                if let series = family.series[labels] { return series }
            }
            let series: any MetricSeries =
                switch family.definition.kind {
                case .counter: CounterSeries()
                case .gauge: GaugeSeries()
                case .histogram(let bounds): HistogramSeries(bounds: bounds)
                }
            family.series[labels] = series
            families[name] = family
            return series
        }
    }
}
