// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// Checks JSON against JSON Schema 2020-12, as much of it as the documents that tests have to do with use.
package struct SchemaCheck: Sendable {
    private let references: [String: Data]

    /// - Parameter references: schemas by the names under which `$ref` asks for them
    package init(references: [String: Data] = [:]) { self.references = references }

    /// What is wrong with a value, each with its place; empty when it conforms.
    package func complaints(_ value: Any, _ schema: [String: Any], at place: String = "$") -> [String] {
        if let name = schema["$ref"] as? String {
            guard let text = references[name],
                let schema = try? JSONSerialization.jsonObject(with: text) as? [String: Any]  // said to be missing
            else { return ["\(place): unknown schema \(name)"] }
            return complaints(value, schema, at: place)
        }
        var found: [String] = []
        if let choices = schema["anyOf"] as? [[String: Any]] {
            let all = choices.map { complaints(value, $0, at: place) }
            if !all.contains(where: \.isEmpty) { found += all.flatMap(\.self) }
        }
        switch schema["type"] as? String {
        case nil: break
        case "null": if !(value is NSNull) { found.append("\(place): isn't null") }
        case "boolean": if !Self.isBool(value) { found.append("\(place): isn't a boolean") }
        case "string": found += Self.complaints(text: value, schema, at: place)
        case "number", "integer": found += Self.complaints(number: value, schema, at: place)
        case "array":
            guard let list = value as? [Any] else { return ["\(place): isn't a list"] }
            guard let items = schema["items"] as? [String: Any] else { break }
            found += list.enumerated().flatMap { complaints($0.element, items, at: "\(place)[\($0.offset)]") }
        case "object":
            guard let object = value as? [String: Any] else { return ["\(place): isn't an object"] }
            found += complaints(object, schema, at: place)
        case let other?: found.append("\(place): unknown type \(other)")
        }
        return found
    }

    private func complaints(_ object: [String: Any], _ schema: [String: Any], at place: String) -> [String] {
        let properties = schema["properties"] as? [String: [String: Any]] ?? [:]
        let patterns = schema["patternProperties"] as? [String: [String: Any]] ?? [:]
        let required = schema["required"] as? [String] ?? []
        var found = required.filter { object[$0] == nil }.map { "\(place).\($0): is missing" }
        for (key, value) in object {
            let known = properties[key] ?? patterns.first { Self.matches(key, $0.key) }?.value
            if let schema = known ?? schema["additionalProperties"] as? [String: Any] {
                found += complaints(value, schema, at: "\(place).\(key)")
            } else if schema["additionalProperties"] as? Bool == false {
                found.append("\(place).\(key): isn't in the schema")
            }
        }
        return found
    }

    private static func complaints(text value: Any, _ schema: [String: Any], at place: String) -> [String] {
        guard let text = value as? String else { return ["\(place): isn't a string"] }
        if let choices = schema["enum"] as? [String], !choices.contains(text) {
            return ["\(place): \(text) isn't in \(choices)"]
        }
        if let pattern = schema["pattern"] as? String, !matches(text, pattern) {
            return ["\(place): doesn't match \(pattern)"]
        }
        if schema["format"] as? String == "uri", URL(string: text)?.scheme == nil { return ["\(place): isn't a URI"] }
        return []
    }

    private static func complaints(number value: Any, _ schema: [String: Any], at place: String) -> [String] {
        guard let number = value as? NSNumber, !isBool(value) else { return ["\(place): isn't a number"] }
        let least = (schema["minimum"] as? NSNumber)?.doubleValue ?? -.infinity
        let most = (schema["maximum"] as? NSNumber)?.doubleValue ?? .infinity
        guard (least...most).contains(number.doubleValue) else {
            return ["\(place): \(number) isn't in \(least)...\(most)"]
        }
        return []
    }

    private static func isBool(_ value: Any) -> Bool {
        (value as? NSNumber).map { String(cString: $0.objCType) == "c" } ?? false
    }

    private static func matches(_ text: String, _ pattern: String) -> Bool {
        text.range(of: pattern, options: .regularExpression) != nil
    }
}
