// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Synchronization

/// One line per event, as JSON for programs or as text for people. Nothing in a message or value can begin a line.
struct LineLogHandler: LogHandler {
    enum Format: String { case json, text }

    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    /// What a JSON line says about itself. A field of such a name is written as `field.NAME`.
    private static let ownKeys: Set = ["time", "level", "service", "message"]

    private let service: String
    private let format: Format
    private let write: @Sendable (String) -> Void

    init(service: String, level: Logger.Level, format: Format, write: @escaping @Sendable (String) -> Void) {
        self.service = service
        self.logLevel = level
        self.format = format
        self.write = write
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = (metadataProvider?.get() ?? [:]).merging(metadata) { $1 }.merging(event.metadata ?? [:]) { $1 }
        if let error = event.error, fields["error"] == nil { fields["error"] = "\(error)" }
        let time = Date().ISO8601Format(.iso8601(timeZone: .gmt, includingFractionalSeconds: true)) + "Z"
        switch format {
        case .json:
            var line = "{\"time\":\(quoted(time)),\"level\":\(quoted("\(event.level)")),\"service\":\(quoted(service)),"
            line += "\"message\":\(quoted(event.message.description))"
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
                line += ",\(quoted(Self.ownKeys.contains(key) ? "field.\(key)" : key)):\(quoted("\(value)"))"
            }
            write(line + "}")
        case .text:
            var line = "\(time) \(event.level) \(escaped(event.message.description))"
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
                let text = "\(value)"
                line += " \(key)=" + (text.contains(" ") || text.contains("\"") ? quoted(text) : escaped(text))
            }
            write(line)
        }
    }

    private func quoted(_ text: String) -> String { "\"" + escaped(text, isQuoted: true) + "\"" }

    private func escaped(_ text: String, isQuoted: Bool = false) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"" where isQuoted: result += "\\\""
            case "\\" where isQuoted: result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where Self.steers(scalar):
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Whether the scalar begins a line, speaks to a terminal, or turns the direction in which text is read.
    private static func steers(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value < 0x20 || scalar.value == 0x7F }
        return scalar.value <= 0x9F || (0x2028...0x2029).contains(scalar.value) || scalar.properties.isBidiControl
    }
}

/// Standard output, one whole line at a time.
enum StandardOutput {
    private static let handle = Mutex(FileHandle.standardOutput)

    static func write(_ line: String) {
        // Nobody reads any more: there is nobody to tell.
        handle.withLock { try? $0.write(contentsOf: Data((line + "\n").utf8)) }
    }
}
