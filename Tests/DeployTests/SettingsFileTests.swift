// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import ServiceRuntime

@Suite("Settings files of deployments")
struct SettingsFileTests {
    private static let files = ["deploy/config.yaml", "deploy/kubernetes/config.yaml"]

    @Test("every key is a setting, those behind a # too", arguments: files)
    func keys(_ path: String) throws {
        let file = "\(Repository.root)/\(path)"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let keys = text.matches(of: /(?m)^(?:# )?([A-Z0-9_]+):/).map { String($0.1) }
        #expect(keys.count >= 3)
        for key in keys { #expect(KnownSettings.names.contains(key), "\(key)") }
        #expect(Set(keys).count == keys.count, "twice")
        // Throws for anything that isn't as it has to be.
        _ = try SettingsReader(keys: SharedSettings.keys, flags: [:], environment: [:], path: file)
    }

    @Test("what stands behind a # is the default, or an example of what has none")
    func defaults() throws {
        let text = try String(contentsOfFile: Repository.root + "/deploy/config.yaml", encoding: .utf8)
        let readme = try String(contentsOfFile: Repository.root + "/README.md", encoding: .utf8)
        let examples = text.matches(of: /(?m)^# ([A-Z0-9_]+): (.*)$/)
        #expect(!examples.isEmpty)
        for match in examples {
            let row = try #require(
                readme.split(separator: "\n").first { $0.hasPrefix("| `\(match.1)` |") },
                "\(match.1)"
            )
            let value = row.split(separator: "|", omittingEmptySubsequences: false)[2].trimmingCharacters(
                in: .whitespaces
            )
            #expect(value.isEmpty || value.hasPrefix("`\(match.2)`"), "\(match.1): \(value)")
        }
    }
}
