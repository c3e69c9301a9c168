// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Checks JSON against those of Clair's published schemas that say what it may be sent (JSON Schema 2020-12, as much of it
/// as they use).
struct SchemaCheck: Sendable {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

    private let texts: [String: Data]

    init() throws {
        var texts: [String: Data] = [:]
        for name in ["manifest", "layer", "digest"].map({ $0 + ".schema.json" }) {
            texts[name] = try Data(contentsOf: Self.folder.appending(path: name))
        }
        self.texts = texts
    }

    /// What is wrong with a manifest that is to be indexed; empty when it conforms.
    func complaints(aboutManifest value: Any) -> [String] { check(value, ["$ref": "manifest.schema.json"], at: "") }

    private func check(_ value: Any, _ schema: [String: Any], at path: String) -> [String] {
        if let name = schema["$ref"] as? String {
            guard let text = texts[name],
                let schema = try? JSONSerialization.jsonObject(with: text) as? [String: Any]  // said to be missing
            else { return ["\(path): unknown schema \(name)"] }
            return check(value, schema, at: path)
        }
        var complaints: [String] = []
        if let choices = schema["anyOf"] as? [[String: Any]],
            !choices.contains(where: { check(value, $0, at: path).isEmpty })
        {
            complaints.append("\(path): is none of what it may be")
        }
        switch schema["type"] as? String {
        case "object":
            guard let object = value as? [String: Any] else { return ["\(path): isn't an object"] }
            complaints += check(object, schema, at: path)
        case "array":
            guard let list = value as? [Any] else { return ["\(path): isn't a list"] }
            guard let items = schema["items"] as? [String: Any] else { break }
            for (index, item) in list.enumerated() { complaints += check(item, items, at: "\(path)/\(index)") }
        case "string":
            guard let text = value as? String else { return ["\(path): isn't a string"] }
            if let pattern = schema["pattern"] as? String, !Self.matches(text, pattern) {
                complaints.append("\(path): doesn't match \(pattern)")
            }
            if schema["format"] as? String == "uri", URL(string: text)?.scheme == nil {
                complaints.append("\(path): isn't a URI")
            }
        default: break
        }
        return complaints
    }

    private func check(_ object: [String: Any], _ schema: [String: Any], at path: String) -> [String] {
        let properties = schema["properties"] as? [String: [String: Any]] ?? [:]
        let patterns = schema["patternProperties"] as? [String: [String: Any]] ?? [:]
        let required = schema["required"] as? [String] ?? []
        var complaints = required.filter { object[$0] == nil }.map { "\(path)/\($0): is missing" }
        for (key, value) in object {
            if let schema = properties[key] {
                complaints += check(value, schema, at: "\(path)/\(key)")
            } else if let schema = patterns.first(where: { Self.matches(key, $0.key) })?.value {
                complaints += check(value, schema, at: "\(path)/\(key)")
            } else if schema["additionalProperties"] as? Bool == false {
                complaints.append("\(path)/\(key): isn't in the schema")
            }
        }
        return complaints
    }

    private static func matches(_ text: String, _ pattern: String) -> Bool {
        text.range(of: pattern, options: .regularExpression) != nil
    }
}
