// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Checks JSON against the part of JSON Schema that the API's document uses.
package enum SchemaCheck {
    /// What is wrong with a value, with its place; empty when nothing is.
    package static func complaints(_ value: Any, _ schema: [String: Any], at place: String = "$") -> [String] {
        if let choices = schema["anyOf"] as? [[String: Any]] {
            let all = choices.map { complaints(value, $0, at: place) }
            return all.contains(where: \.isEmpty) ? [] : all.flatMap(\.self)
        }
        if let choices = schema["enum"] as? [String] {
            guard let text = value as? String, choices.contains(text) else {
                return ["\(place): \(value) isn't in \(choices)"]
            }
            return []
        }
        switch schema["type"] as? String {
        case nil: return []
        case "null": return value is NSNull ? [] : ["\(place): isn't null"]
        case "string": return value is String ? [] : ["\(place): \(value) is no string"]
        case "boolean": return isBool(value) ? [] : ["\(place): \(value) is no boolean"]
        case "number", "integer":
            guard let number = value as? NSNumber, !isBool(value) else { return ["\(place): \(value) is no number"] }
            let least = (schema["minimum"] as? NSNumber)?.doubleValue ?? -.infinity
            let most = (schema["maximum"] as? NSNumber)?.doubleValue ?? .infinity
            return (least...most).contains(number.doubleValue)
                ? [] : ["\(place): \(number) isn't in \(least)...\(most)"]
        case "array":
            guard let list = value as? [Any] else { return ["\(place): is no array"] }
            guard let items = schema["items"] as? [String: Any] else { return [] }
            return list.enumerated().flatMap { complaints($0.element, items, at: "\(place)[\($0.offset)]") }
        case "object":
            guard let object = value as? [String: Any] else { return ["\(place): is no object"] }
            return complaints(object, schema, at: place)
        default: return ["\(place): the schema's type isn't known"]
        }
    }

    private static func complaints(_ object: [String: Any], _ schema: [String: Any], at place: String) -> [String] {
        let properties = schema["properties"] as? [String: [String: Any]] ?? [:]
        var found = (schema["required"] as? [String] ?? []).filter { object[$0] == nil }.map {
            "\(place).\($0): is missing"
        }
        for (name, value) in object {
            if let known = properties[name] {
                found += complaints(value, known, at: "\(place).\(name)")
            } else if let other = schema["additionalProperties"] as? [String: Any] {
                found += complaints(value, other, at: "\(place).\(name)")
            } else if schema["additionalProperties"] as? Bool == false {
                found.append("\(place).\(name): isn't in the schema")
            }
        }
        return found
    }

    private static func isBool(_ value: Any) -> Bool {
        (value as? NSNumber).map { String(cString: $0.objCType) == "c" } ?? false
    }
}
