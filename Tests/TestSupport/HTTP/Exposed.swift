// SPDX-License-Identifier: Apache-2.0

/// Metrics as a scraper reads them (Prometheus' text format, 0.0.4), with the rules that it holds them to.
package struct Exposed: Sendable {
    /// Values by name and labels, as they are written.
    package private(set) var samples: [String: Double] = [:]
    /// By the names of the metrics.
    package private(set) var types: [String: String] = [:]

    /// - Throws: ``TestSupportError`` for what isn't the format
    package init(_ text: String) throws {
        guard text.isEmpty || text.hasSuffix("\n") else { throw TestSupportError("the last line doesn't end") }
        var helped: Set<String> = []
        for line in text.split(separator: "\n") {
            if let match = line.wholeMatch(of: /# HELP ([a-z_]+) .+/) {
                guard helped.insert(String(match.1)).inserted else { throw TestSupportError("told twice: \(line)") }
            } else if let match = line.wholeMatch(of: /# TYPE ([a-z_]+) (counter|gauge|histogram)/) {
                types[String(match.1)] = String(match.2)
            } else if let match = line.wholeMatch(
                of: /(([a-z_]+)(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)+\})?) (\S+)/
            ) {
                guard let value = Double(match.3) else { throw TestSupportError("no number: \(line)") }
                let name = String(match.2)
                let family = ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) }.map {
                    String(name.dropLast($0.count))
                }
                guard types[name] != nil || types[family ?? name] == "histogram" else {
                    throw TestSupportError("no type before \(line)")
                }
                guard samples.updateValue(value, forKey: String(match.1)) == nil else {
                    throw TestSupportError("told twice: \(line)")
                }
            } else {
                throw TestSupportError("not the format: \(line)")
            }
        }
        guard helped == Set(types.keys) else { throw TestSupportError("HELP and TYPE differ") }
    }

    /// - Parameter key: `name`, or `name{label="value",…}`
    package subscript(_ key: String) -> Double? { samples[key] }

    /// The sum over all labels.
    package func sum(_ name: String) -> Double {
        samples.filter { $0.key == name || $0.key.hasPrefix(name + "{") }.reduce(0) { $0 + $1.value }
    }
}
