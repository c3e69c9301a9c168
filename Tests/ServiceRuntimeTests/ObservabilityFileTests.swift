// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import ServiceRuntime

/// Dashboard, alerts, runbook and README against the metrics that there are.
@Suite("Files of observability")
struct ObservabilityFileTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let names = Set(MetricDefinition.all.map(\.name))

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Names of metrics in a text, without what a histogram's series add.
    private static func metrics(in text: String) -> Set<String> {
        Set(
            text.matches(of: /\b(?:entrepot|postgres|process)_[a-z_]+\b/).map { match in
                let name = String(match.0)
                for suffix in ["_bucket", "_sum", "_count"] where !names.contains(name) && name.hasSuffix(suffix) {
                    return String(name.dropLast(suffix.count))
                }
                return name
            }
        )
    }

    @Test("every metric is named once, and as its unit and kind ask for")
    func catalogue() {
        #expect(Self.names.count == MetricDefinition.all.count)
        for definition in MetricDefinition.all {
            switch definition.kind {
            case .counter: #expect(definition.name.hasSuffix("_total"))
            case .gauge: #expect(!definition.name.hasSuffix("_total"))
            case .histogram(let bounds): #expect(bounds == bounds.sorted() && !definition.name.hasSuffix("_total"))
            }
        }
    }

    @Test("the sources measure every metric of the catalogue, and no other")
    func sources() throws {
        var used: Set<String> = []
        let folder = Self.root.appending(path: "Sources").path
        for file in try FileManager.default.subpathsOfDirectory(atPath: folder)
        where file.hasSuffix(".swift") && !file.hasSuffix("MetricDefinition.swift") {
            let text = try Self.text("Sources/" + file)
            let measured = /(?:label: |name: |readings\[)"((?:entrepot|postgres|process)_[a-z_]+)"/
            used.formUnion(text.matches(of: measured).map { String($0.1) })
        }
        #expect(used.subtracting(Self.names) == [])
        #expect(Self.names.subtracting(used) == [])
    }

    @Test("what dashboard and alerts ask for exists, and the dashboard shows every metric")
    func questions() throws {
        let alerts = try Self.text("deploy/prometheus/alerts.yml")
        let dashboard = try Self.text("deploy/grafana/entrepot.json")
        #expect(Self.metrics(in: alerts).subtracting(Self.names) == [])
        #expect(Self.metrics(in: dashboard).subtracting(Self.names) == [])
        #expect(Self.names.subtracting(Self.metrics(in: dashboard)) == [])
        #expect(try JSONSerialization.jsonObject(with: Data(dashboard.utf8)) is [String: Any])
    }

    @Test("every alert is tested and has a section in the runbook, which speaks of no other")
    func runbook() throws {
        let alerts = try Self.text("deploy/prometheus/alerts.yml").matches(of: /alert: (\w+)/).map { String($0.1) }
        #expect(alerts.count > 10)
        let readme = try Self.text("README.md")
        let sections = readme.matches(of: /\n### (Entrepot\w+)\n/).map { String($0.1) }
        #expect(sections.sorted() == alerts.sorted())
        let tests = try Self.text("deploy/prometheus/alerts.test.yml")
        for alert in alerts { #expect(tests.contains("- name: \(alert)\n"), "\(alert)") }
    }

    @Test("the README's table has every metric, and no other")
    func readme() throws {
        let readme = try Self.text("README.md")
        let section = try #require(readme.split(separator: "\n## ").first { $0.hasPrefix("Metrics") })
        let rows = section.split(separator: "\n").filter { $0.hasPrefix("| `") }
        let documented = rows.flatMap { $0.split(separator: "|")[0].matches(of: /`([a-z_]+)`/).map { String($0.1) } }
        #expect(Set(documented) == Self.names)
    }
}
