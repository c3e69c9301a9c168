// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Synchronization
import Testing

@testable import ServiceRuntime

@Suite("Log lines")
struct LineLogHandlerTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
    }

    private struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// What a logger writes when it is used so.
    private func lines(
        _ format: LineLogHandler.Format,
        level: Logger.Level = .trace,
        _ body: (inout Logger) -> Void
    ) -> [String] {
        let lines = Lines()
        var logger = Logger(label: "test") { _ in
            LineLogHandler(service: "tester", level: level, format: format) { line in
                lines.all.withLock { $0.append(line) }
            }
        }
        body(&logger)
        return lines.all.withLock { $0 }
    }

    private func fields(_ body: (inout Logger) -> Void) throws -> [String: String] {
        let line = try #require(lines(.json, body).first)
        return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
    }

    /// Text without its time.
    private func text(_ body: (inout Logger) -> Void) throws -> String {
        let line = try #require(lines(.text, body).first)
        return String(line[try #require(line.firstIndex(of: " "))...].dropFirst())
    }

    @Test("a JSON line is an object of strings: time, level, service, message, and the metadata")
    func json() throws {
        let fields = try fields { logger in
            logger[metadataKey: "job.id"] = "7"
            logger[metadataKey: "outcome"] = "miss"
            logger.warning("it happened", metadata: ["outcome": "hit", "list": ["a", "b"]])
        }
        #expect(fields.keys.sorted() == ["job.id", "level", "list", "message", "outcome", "service", "time"])
        #expect(fields["level"] == "warning")
        #expect(fields["service"] == "tester")
        #expect(fields["message"] == "it happened")
        #expect(fields["job.id"] == "7")
        #expect(fields["outcome"] == "hit", "what a call says wins over what its logger says")
    }

    @Test(
        "any text survives a JSON line, which stays one line",
        arguments: [
            "plain", "", "\"quoted\"", "back\\slash", "\\n", "a\nb\r\nc\td", "\u{0}\u{1}\u{8}\u{C}\u{1B}[31m\u{7F}",
            "\u{85}\u{9B}\u{2028}\u{2029}", "\u{202E}evil\u{2066}\u{200F}", "é e\u{301} 日本 👩‍👩‍👧 \u{10FFFF}", "</script>",
            "{\"a\":1}",
        ]
    )
    func anyText(_ value: String) throws {
        let line = try #require(
            lines(.json) { $0.info("\(value)", metadata: ["v": "\(value)", "\(value)x": "y"]) }.first
        )
        #expect(!line.unicodeScalars.contains { Self.isTroublesome($0) }, "\(line)")
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String]
        #expect(object?["message"] == value)
        #expect(object?["v"] == value)
        #expect(object?["\(value)x"] == "y")
    }

    @Test(
        "text that would begin a line, steer a terminal or turn the reading direction is escaped",
        arguments: [
            ("a\nb", "a\\nb"), ("a\r\nb", "a\\r\\nb"), ("a\tb", "a\\tb"), ("\u{0}", "\\u0000"),
            ("\u{1B}[2J", "\\u001b[2J"),
            ("\u{7F}\u{85}\u{9F}", "\\u007f\\u0085\\u009f"), ("\u{2028}\u{2029}", "\\u2028\\u2029"),
            ("\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}", "\\u202a\\u202b\\u202c\\u202d\\u202e"),
            ("\u{2066}\u{2067}\u{2068}\u{2069}", "\\u2066\\u2067\\u2068\\u2069"),
            ("\u{200E}\u{200F}\u{61C}", "\\u200e\\u200f\\u061c"), ("é日👩‍👧", "é日👩‍👧"),
        ]
    )
    func escaped(_ value: String, _ expected: String) throws {
        #expect(try text { $0.info("m\(value)", metadata: ["k": "\(value)"]) } == "info m\(expected) k=\(expected)")
        #expect(lines(.json) { $0.info("\(value)") }[0].contains("\"message\":\"\(expected)\""))
    }

    private static func isTroublesome(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control || scalar.properties.isBidiControl
            || scalar == "\u{2028}" || scalar == "\u{2029}"
    }

    @Test("a text line is time, level, message and key=value in the order of keys, quoted where that is needed")
    func textFormat() throws {
        let line = try text { logger in
            logger[metadataKey: "z"] = "last"
            logger.error(
                "went wrong",
                metadata: ["a": "two words", "b": "say \"it\"", "c": "", "d": "C:\\x", "e": "C:\\x y"]
            )
        }
        #expect(line == #"error went wrong a="two words" b="say \"it\"" c= d=C:\x e="C:\\x y" z=last"#)
    }

    @Test("the time is in UTC with fractions of a second and ends in one Z", arguments: [false, true])
    func time(isJSON: Bool) throws {
        let before = Date()
        let line = try #require(lines(isJSON ? .json : .text) { $0.info("x") }.first)
        let stamp = String(
            isJSON ? line.dropFirst("{\"time\":\"".count).prefix { $0 != "\"" } : line.prefix { $0 != " " }
        )
        #expect(stamp.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(stamp)")
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        let time = try Date(stamp, strategy: style)
        #expect(abs(time.timeIntervalSince(before)) < 60)
    }

    @Test("metadata can't stand in for what a line says about itself")
    func reserved() throws {
        let body: (inout Logger) -> Void = { logger in
            logger.info("real", metadata: ["message": "forged", "level": "x", "service": "y", "time": "z"])
        }
        let line = try #require(lines(.json, body).first)
        for key in ["message", "level", "service", "time"] {
            #expect(line.ranges(of: "\"\(key)\":").count == 1, "\(key) more than once: \(line)")
        }
        let fields = try fields(body)
        #expect(fields["message"] == "real")
        #expect(fields["service"] == "tester")
        #expect(fields.values.contains("forged"), "what was logged isn't lost")
    }

    @Test("the error of an event is told")
    func error() throws {
        let fields = try fields { $0.error("failed", error: Failure(description: "because\nof it")) }
        #expect(fields["error"] == "because\nof it")
    }

    @Test("events below the level aren't written")
    func level() {
        #expect(lines(.text, level: .notice) { $0.info("x") }.isEmpty)
        #expect(lines(.text, level: .notice) { $0.notice("x") }.count == 1)
    }
}
