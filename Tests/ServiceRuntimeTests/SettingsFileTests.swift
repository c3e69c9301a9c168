// SPDX-License-Identifier: Apache-2.0

import Foundation
import ServiceRuntime
import TestSupport
import Testing

@Suite("Settings file")
struct SettingsFileTests {
    private static let size = SettingKey("SIZE", kind: .string, default: "the default", help: "")
    private static let hosts = SettingKey("HOSTS", kind: .list, default: "", help: "")

    private let folder: TemporaryDirectory
    private let path: String

    init() throws {
        folder = try TemporaryDirectory()
        path = folder.path + "/config.yaml"
    }

    private func reader(_ yaml: String) throws -> SettingsReader {
        try yaml.write(toFile: path, atomically: false, encoding: .utf8)
        return try SettingsReader(keys: [Self.size, Self.hosts], flags: [:], environment: [:], path: path)
    }

    private func refusal(_ yaml: String) throws -> String {
        let error = #expect(throws: SettingsError.self, "taken: \(yaml)") { try reader(yaml) }
        return error?.description ?? ""
    }

    @Test(
        "a scalar is read as it is written",
        arguments: [
            ("SIZE: 5080", "5080"), ("SIZE: 0x10", "0x10"), ("SIZE: true", "true"),
            ("SIZE: 127.0.0.1:5080", "127.0.0.1:5080"),
            ("SIZE: \"a: 'b' # c\"", "a: 'b' # c"), ("SIZE: 'it''s'", "it's"),
            ("SIZE: >-\n  one\n  line\n", "one line"),
            ("# nothing else\nSIZE:   spaced   # comment", "spaced"), ("SIZE: \"\"", ""), ("SIZE:", ""),
        ]
    )
    func scalar(_ yaml: String, _ value: String) throws {
        #expect(try reader(yaml).string(Self.size) == value)
    }

    @Test(
        "a list may be written as YAML writes lists",
        arguments: ["HOSTS: [a, b:1]", "HOSTS:\n- a\n- b:1", "HOSTS: a,b:1"]
    )
    func list(_ yaml: String) throws {
        #expect(try reader(yaml).list(Self.hosts) == ["a", "b:1"])
    }

    @Test("a file without settings leaves the defaults", arguments: ["", "\n\n", "# SIZE: 1\n", "---\n", "{}"])
    func empty(_ yaml: String) throws {
        #expect(try reader(yaml).string(Self.size) == "the default")
    }

    @Test(
        "what isn't a line of KEY: value is refused, by the name of the file",
        arguments: ["- SIZE", "SIZE", "[SIZE: 1]"]
    )
    func noMapping(_ yaml: String) throws {
        #expect(try refusal(yaml) == "\(path): expected KEY: value lines")
    }

    @Test(
        "a value of the wrong shape is refused by the name of its key",
        arguments: ["SIZE: {a: 1}", "SIZE:\n  a: 1", "SIZE: [[1]]", "SIZE:\n- a: 1"]
    )
    func shape(_ yaml: String) throws {
        #expect(try refusal("OTHER: 1\n" + yaml).hasPrefix("\(path): SIZE: "))
    }

    @Test(
        "what isn't YAML is refused with its place, and without the file's content",
        arguments: [
            ("A: 1\nB: \"hunter2\nC: 3", "3"), ("A: 1\nB: [hunter2\n", "3"), ("A: 1\n\tB: hunter2", "2"),
            ("A: hunter2: 1\n", "1"), ("A: &hunter2\n  *hunter3\n", "2"),
        ]
    )
    func broken(_ yaml: String, _ line: String) throws {
        let text = try refusal(yaml)
        #expect(text.hasPrefix("\(path), line \(line): not YAML: "), "\(text)")
        #expect(!text.contains("hunter"), "\(text)")
        #expect(!text.contains("\n"), "\(text)")
    }

    @Test("a key that is set twice is refused by its name")
    func twice() throws {
        let text = try refusal("SIZE: hunter2\nOTHER: 1\nSIZE: hunter3\n")
        #expect(text == "\(path): SIZE is set more than once")
    }

    @Test("a file that can't be read is an error that names it")
    func unreadable() throws {
        let latin1 = folder.path + "/latin1.yaml"
        try Data([0x41, 0x3A, 0x20, 0xE9]).write(to: URL(filePath: latin1))
        for path in [path, folder.path, latin1] {
            let error = #expect(throws: SettingsError.self) {
                try SettingsReader(keys: [], flags: [:], environment: [:], path: path)
            }
            #expect(error?.description == "\(path) can't be read")
        }
    }

    @Test("ENTREPOT_CONFIG names the file unless the command line does")
    func place() throws {
        let other = folder.path + "/other.yaml"
        try "SIZE: mine".write(toFile: path, atomically: false, encoding: .utf8)
        try "SIZE: other".write(toFile: other, atomically: false, encoding: .utf8)
        let environment = ["ENTREPOT_CONFIG": path]
        for (flag, value) in [(nil, "mine"), (other, "other")] {
            let reader = try SettingsReader(keys: [Self.size], flags: [:], environment: environment, path: flag)
            #expect(try reader.string(Self.size) == value)
        }
    }

    @Test("a key that is no setting of any program is refused by its name, and a near one is offered")
    func strangers() throws {
        #expect(
            try refusal("SIZE: 1\nLOG_LEVLE: info\n") == "\(path): LOG_LEVLE isn't a setting; did you mean LOG_LEVEL?"
        )
        #expect(
            try refusal("fetcher_lease: 5s\n") == "\(path): fetcher_lease isn't a setting; did you mean FETCHER_LEASE?"
        )
        #expect(try refusal("COMPLETELY_ELSE: 5s\n") == "\(path): COMPLETELY_ELSE isn't a setting")
    }

    @Test("a setting of another program is nothing to complain of")
    func others() throws {
        try "SIZE: mine\nFETCHER_LEASE: 9s\n".write(toFile: path, atomically: false, encoding: .utf8)
        let reader = try SettingsReader(keys: [Self.size], flags: [:], environment: [:], path: path)
        #expect(try reader.string(Self.size) == "mine")
    }
}
