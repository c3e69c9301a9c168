// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import ServiceRuntime

/// The README's tables against what they speak of.
@Suite("README")
struct ReadmeTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    @Test("every setting is there with its default, and no other")
    func settings() throws {
        let definition = /SettingKey\(\s*"([A-Z0-9_]+)",\s*kind: \.\w+,\s*default: "([^"]*)"/
        var defined: [String: String] = [:]
        for file in try FileManager.default.subpathsOfDirectory(atPath: Self.root.path + "/Sources")
        where file.hasSuffix(".swift") {
            for match in try Self.text("Sources/" + file).matches(of: definition) {
                let (name, value) = (String(match.1), String(match.2))
                #expect(defined[name] ?? value == value, "\(name) has two defaults")
                defined[name] = value
            }
        }
        #expect(defined.count > 15)
        #expect(Set(defined.keys) == KnownSettings.names, "what config.yaml may set")

        let readme = try Self.text("README.md")
        let section = try #require(readme.split(separator: "\n## ").first { $0.hasPrefix("Settings") })
        var documented: Set<String> = []
        for row in section.split(separator: "\n") where row.hasPrefix("| `") {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            for name in cells[0].matches(of: /`([A-Z0-9_]+)`/).map({ String($0.1) }) {
                documented.insert(name)
                let value = try #require(defined[name], "\(name) isn't a setting")
                guard cells[1] != "see above" else { continue }
                #expect(cells[1].hasPrefix(value.isEmpty ? "" : "`\(value)`"), "\(name): \(cells[1])")
                #expect(cells[1].isEmpty == value.isEmpty, "\(name): \(cells[1])")
            }
        }
        #expect(Set(defined.keys).subtracting(documented) == [])
    }

    @Test("every module is there, and every path that it names exists")
    func sourceTree() throws {
        let readme = try Self.text("README.md")
        let section = try #require(readme.split(separator: "\n## ").first { $0.hasPrefix("Source tree") })
        for match in section.matches(of: /`((Sources|Tests|deploy)[^`]*)`/) {
            #expect(FileManager.default.fileExists(atPath: "\(Self.root.path)/\(match.1)"), "\(match.1)")
        }
        for folder in ["Sources", "Sources/Services", "Sources/Programs", "Sources/Executables"] {
            for module in try FileManager.default.contentsOfDirectory(atPath: "\(Self.root.path)/\(folder)") {
                let isRoom = ["Services", "Programs", "Executables"].contains(module)
                #expect(isRoom || section.contains("/\(module)`") || section.contains("`\(module)`"), "\(module)")
            }
        }
    }
}
