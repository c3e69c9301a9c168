// SPDX-License-Identifier: Apache-2.0

import Foundation
import ServiceRuntime
import TestSupport
import Testing

@Suite("Settings")
struct SettingsReaderTests {
    private static let key = SettingKey("SIZE", kind: .string, default: "from the default", help: "a size")

    /// Where a value can come from, strongest first.
    private enum Source: Int, CaseIterable {
        case flag, prefixedVariable, prefixedVariableFile, variable, variableFile, config, none
    }

    /// A reader over all sources from one on, each with a value that names it.
    private func reader(from strongest: Source, in folder: TemporaryDirectory) throws -> SettingsReader {
        var flags: [SettingKey: String] = [:]
        var environment: [String: String] = [:]
        var config = "LOG_LEVEL: info\n"
        for source in Source.allCases where source.rawValue >= strongest.rawValue {
            let path = "\(folder.path)/\(source)"
            switch source {
            case .flag: flags[Self.key] = "\(source)"
            case .prefixedVariable: environment["ENTREPOT_SIZE"] = "\(source)"
            case .variable: environment["SIZE"] = "\(source)"
            case .prefixedVariableFile, .variableFile:
                try "\(source)\n".write(toFile: path, atomically: false, encoding: .utf8)
                environment[source == .variableFile ? "SIZE_FILE" : "ENTREPOT_SIZE_FILE"] = path
            case .config: config += "SIZE: \(source)\n"
            case .none: break
            }
        }
        let path = folder.path + "/config.yaml"
        try config.write(toFile: path, atomically: false, encoding: .utf8)
        return try SettingsReader(keys: [Self.key], flags: flags, environment: environment, path: path)
    }

    @Test("the strongest source that sets a value wins, and errors say which it was")
    func precedence() throws {
        let folder = try TemporaryDirectory()
        let names: [Source: String] = [
            .flag: "the command line", .prefixedVariable: "environment variable ENTREPOT_SIZE",
            .prefixedVariableFile: "file \(folder.path)/prefixedVariableFile", .variable: "environment variable SIZE",
            .variableFile: "file \(folder.path)/variableFile", .config: "\(folder.path)/config.yaml", .none: "default",
        ]
        for source in Source.allCases {
            let reader = try reader(from: source, in: folder)
            let value = try reader.string(Self.key)
            #expect(value == (source == .none ? "from the default" : "\(source)"))
            let error = reader.invalid(Self.key, value, "no good")
            #expect(error.description == "SIZE (\(try #require(names[source]))): \"\(value)\": no good")
        }
    }

    private func reader(_ value: String) throws -> SettingsReader {
        try SettingsReader(keys: [Self.key], flags: [:], environment: ["SIZE": value], path: nil)
    }

    /// What an unusable value has to say: its key, where it was set, and itself.
    private func expectRefusal(_ value: String, _ read: (SettingsReader) throws -> Void) throws {
        let reader = try reader(value)
        let error = #expect(throws: SettingsError.self, "\"\(value)\" was taken") { try read(reader) }
        let text = error?.description ?? ""
        #expect(text.hasPrefix("SIZE (environment variable SIZE): \"\(value)\": expected "), "\(text)")
    }

    @Test("numbers are taken inside their range only")
    func int() throws {
        for (text, value) in [("2", 2), ("64", 64), ("007", 7)] {
            #expect(try reader(text).int(Self.key, in: 2...64) == value)
        }
        for text in ["", "1", "65", "-3", "3.0", "1e1", "0x10", " 5", "5 ", "five", "٥", "99999999999999999999"] {
            try expectRefusal(text) { _ = try $0.int(Self.key, in: 2...64) }
        }
    }

    @Test("a switch is on or off, in any of the usual words")
    func bool() throws {
        for text in ["true", "TRUE", "Yes", "on", "1"] { #expect(try reader(text).bool(Self.key)) }
        for text in ["false", "False", "no", "OFF", "0"] { #expect(try !reader(text).bool(Self.key)) }
        for text in ["", "2", "y", "enabled", " true"] { try expectRefusal(text) { _ = try $0.bool(Self.key) } }
    }

    @Test("durations have a unit, or are seconds")
    func duration() throws {
        let good: [(String, Duration)] = [
            ("250ms", .milliseconds(250)), ("30s", .seconds(30)), ("90", .seconds(90)), ("0", .zero), ("0ms", .zero),
            ("5m", .seconds(300)), ("2h", .seconds(7_200)), ("14d", .seconds(14 * 86_400)),
            ("2147483647d", .seconds(2_147_483_647 * 86_400)),
        ]
        for (text, value) in good { #expect(try reader(text).duration(Self.key) == value) }
        for text in ["", "s", "ms", "5x", "-1s", "1.5s", "5 m", "1h30m", "1S", "99999999999s", "forever"] {
            try expectRefusal(text) { _ = try $0.duration(Self.key) }
        }
    }

    @Test("addresses of services have a scheme and a host; a slash at the end counts where it may lead elsewhere")
    func url() throws {
        for text in ["http://clair", "https://clair:6060/base", "http://[::1]:80", "https://hooks.example/a?b=c"] {
            #expect(try reader(text).url(Self.key) == text)
            #expect(try reader(text + "/").url(Self.key) == text + "/")
            #expect(try reader(text + "/").baseURL(Self.key) == text)
        }
        for text in [
            "", "clair", "//clair", "ftp://clair", "http://", "http:///hook", "http://me:secret@clair",
            "http://clair#a",
        ] {
            try expectRefusal(text) { _ = try $0.url(Self.key) }
            try expectRefusal(text) { _ = try $0.baseURL(Self.key) }
        }
    }

    @Test("lists are separated by commas; blanks around items and empty items don't count")
    func list() throws {
        #expect(try reader("a, b c,,10.0.0.0/8 ,").list(Self.key) == ["a", "b c", "10.0.0.0/8"])
        #expect(try reader(" , ").list(Self.key).isEmpty)
        #expect(try reader("").list(Self.key).isEmpty)
    }

    @Test("addresses are HOST:PORT")
    func hostPort() throws {
        #expect(try reader("[::1]:5080").hostPort(Self.key) == HostPort(host: "::1", port: 5080))
        for text in ["", "5080", "localhost", "localhost:http"] {
            try expectRefusal(text) { _ = try $0.hostPort(Self.key) }
        }
    }

    @Test("the value of a secret is never shown, only its key and source")
    func secret() throws {
        let key = SettingKey("DB_URI", kind: .secret, default: "", help: "")
        let reader = try SettingsReader(keys: [key], flags: [:], environment: ["DB_URI": "hunter2"], path: nil)
        #expect(try reader.secret(key) == "hunter2")
        let text = reader.invalid(key, "hunter2", "no good").description
        #expect(text == "DB_URI (environment variable DB_URI): its value: no good")
    }

    @Test("the content of a secret's file is its value without the line break at its end")
    func secretFile() throws {
        let folder = try TemporaryDirectory()
        let path = folder.path + "/password"
        try "host=db password='a b'\r\n".write(toFile: path, atomically: false, encoding: .utf8)
        let reader = try SettingsReader(keys: [Self.key], flags: [:], environment: ["SIZE_FILE": path], path: nil)
        #expect(try reader.secret(Self.key) == "host=db password='a b'")
    }

    @Test("a variable's file that can't be read is an error that names both, not an empty value")
    func missingValueFile() throws {
        let environment = ["ENTREPOT_SIZE_FILE": "/nowhere/size"]
        let reader = try SettingsReader(keys: [Self.key], flags: [:], environment: environment, path: nil)
        let error = #expect(throws: SettingsError.self) { try reader.string(Self.key) }
        #expect(error?.description == "ENTREPOT_SIZE_FILE: /nowhere/size can't be read")
    }
}
