// SPDX-License-Identifier: Apache-2.0

import Foundation
import Yams

/// Reads settings: flags win over environment variables, those over `config.yaml`, that over defaults.
///
/// A variable may carry the prefix `ENTREPOT_`; a name with the suffix `_FILE` means that the value is the content of
/// that file, which is how secrets are handed to containers.
package struct SettingsReader: Sendable {
    private struct Found {
        let value: String
        let source: String
    }

    private let flags: [SettingKey: String]
    private let defaults: [SettingKey: String]
    private let environment: [String: String]
    private let file: [String: String]
    /// The `config.yaml` that was read; empty for none.
    package let path: String

    /// - Parameters:
    ///   - defaults: what this program has in place of a key's own default
    ///   - path: `config.yaml`; nil for `ENTREPOT_CONFIG`, or none
    /// - Throws: ``SettingsError`` for a file that can't be read, or that sets what isn't known
    package init(
        keys: [SettingKey],
        flags: [SettingKey: String],
        defaults: [SettingKey: String] = [:],
        environment: [String: String],
        path: String?
    ) throws {
        self.flags = flags
        self.defaults = defaults
        self.environment = environment
        self.path = path ?? environment["ENTREPOT_CONFIG"] ?? ""
        file = self.path.isEmpty ? [:] : try Self.read(self.path)
        let known = KnownSettings.names.union(keys.map(\.name))
        if let stranger = file.keys.sorted().first(where: { !known.contains($0) }) {
            let hint = KnownSettings.nearest(to: stranger).map { "; did you mean \($0)?" } ?? ""
            throw SettingsError("\(self.path): \(stranger) isn't a setting\(hint)")
        }
    }

    // MARK: - Getters. All throw ``SettingsError``.

    package func string(_ key: SettingKey) throws -> String { try find(key).value }

    /// Like `string`, but never shown.
    package func secret(_ key: SettingKey) throws -> String { try find(key).value }

    package func int(_ key: SettingKey, in range: ClosedRange<Int>) throws -> Int {
        let found = try find(key)
        guard let value = Int(found.value), range.contains(value) else {
            throw error(key, found, "expected a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    package func bool(_ key: SettingKey) throws -> Bool {
        let found = try find(key)
        switch found.value.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw error(key, found, "expected true or false")
        }
    }

    /// `30s`, `5m`, `2h`, `1d`, `2w`, `250ms`, or seconds.
    package func duration(_ key: SettingKey) throws -> Duration {
        let found = try find(key)
        if let duration = DurationText.parse(found.value) { return duration }
        throw error(key, found, "expected a duration such as 30s, 5m or 250ms")
    }

    /// Separated by commas, empty items dropped.
    package func list(_ key: SettingKey) throws -> [String] {
        try find(key).value.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    package func hostPort(_ key: SettingKey) throws -> HostPort {
        let found = try find(key)
        guard let value = HostPort(found.value) else { throw error(key, found, "expected HOST:PORT") }
        return value
    }

    /// Of a service: `http` or `https`, a host, a port and a path if need be. Without a slash at its end.
    package func baseURL(_ key: SettingKey) throws -> String {
        var text = try url(key)
        while text.hasSuffix("/") { text.removeLast() }
        return text
    }

    /// As ``baseURL(_:)``, as it is written.
    package func url(_ key: SettingKey) throws -> String {
        let text = try string(key)
        let parts = URLComponents(string: text)
        guard let parts, let scheme = parts.scheme, ["http", "https"].contains(scheme), parts.host?.isEmpty == false,
            parts.user == nil, parts.fragment == nil
        else { throw invalid(key, text, "expected http://HOST or https://HOST, with a port and a path if need be") }
        return text
    }

    /// As ``url(_:)``; nil if it is empty.
    package func urlIfSet(_ key: SettingKey) throws -> String? {
        try string(key).isEmpty ? nil : url(key)
    }

    /// The error of a value that only its user can judge.
    package func invalid(_ key: SettingKey, _ value: String, _ reason: String) -> SettingsError {
        let source = (try? find(key).source) ?? "default"  // it was found a moment ago
        return error(key, Found(value: value, source: source), reason)
    }

    // MARK: - Finding

    private func find(_ key: SettingKey) throws -> Found {
        if let value = flags[key] { return Found(value: value, source: "the command line") }
        for name in ["ENTREPOT_" + key.name, key.name] {
            if let value = environment[name] { return Found(value: value, source: "environment variable \(name)") }
            if let path = environment[name + "_FILE"] {
                return Found(value: try Self.content(path, of: name + "_FILE"), source: "file \(path)")
            }
        }
        if let value = file[key.name] { return Found(value: value, source: path) }
        return Found(value: defaults[key] ?? key.defaultValue, source: "default")
    }

    private func error(_ key: SettingKey, _ found: Found, _ reason: String) -> SettingsError {
        let value = key.kind == .secret ? "its value" : "\"\(found.value)\""
        return SettingsError("\(key.name) (\(found.source)): \(value): \(reason)")
    }

    private static func content(_ path: String, of name: String) throws -> String {
        do {
            return try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        } catch {
            throw SettingsError("\(name): \(path) can't be read")
        }
    }

    private static func read(_ path: String) throws -> [String: String] {
        let text: String
        do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
            throw SettingsError("\(path) can't be read")
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw SettingsError(path + complaint(error))
        }
        guard let node, node.scalar?.string != "" else { return [:] }
        guard let mapping = node.mapping else { throw SettingsError("\(path): expected KEY: value lines") }
        var values: [String: String] = [:]
        for (key, value) in mapping {
            guard let name = key.string else { throw SettingsError("\(path): a key isn't text") }
            if let text = value.scalar?.string {
                values[name] = text
            } else if let items = value.sequence {
                values[name] = try items.map { item in
                    guard let text = item.scalar?.string else {
                        throw SettingsError("\(path): \(name): a list of what?")
                    }
                    return text
                }.joined(separator: ",")
            } else {
                throw SettingsError("\(path): \(name): expected a value or a list")
            }
        }
        return values
    }

    /// What is wrong, and where, without the lines around it: they may hold a secret.
    private static func complaint(_ error: any Error) -> String {
        switch error as? YamlError {
        case .duplicatedKeysInMapping(let keys, _):
            ": \(keys.sorted().joined(separator: ", ")) is set more than once"
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            ", line \(mark.line): not YAML: \(problem)"
        default:
            ": not YAML"
        }
    }
}
