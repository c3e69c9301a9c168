// SPDX-License-Identifier: Apache-2.0

/// What a value has to look like: checked when it comes in, and told in the API's document (JSON Schema 2020-12).
indirect enum Schema: Sendable {
    /// - bytes: of UTF-8
    case text(_ bytes: ClosedRange<Int> = 0...255)
    case choice([String])
    case integer(ClosedRange<Int64>)
    case number
    case flag
    case list(Schema, maximum: Int = 100)
    /// Has these members and no others.
    case object([Member])
    case map(Schema)
    case nullable(Schema)
    case either(Schema, Schema)
    case anything

    struct Member: Sendable {
        let name: String
        let schema: Schema
        let isRequired: Bool
        let about: String
    }

    /// A member that is always there.
    static func has(_ name: String, _ schema: Schema, _ about: String = "") -> Member {
        Member(name: name, schema: schema, isRequired: true, about: about)
    }

    static func may(_ name: String, _ schema: Schema, _ about: String = "") -> Member {
        Member(name: name, schema: schema, isRequired: false, about: about)
    }

    static let natural: Schema = .integer(0...Int64.max)
    /// Up to ten years.
    static let seconds: Schema = .integer(0...Int64(10 * 366 * 86_400))
    static let anyText: Schema = .text(0...4 * 1_048_576)

    // MARK: - Checking

    /// Throws ``APIError`` that names what is wrong.
    /// - Parameter name: of the value; empty for a whole body
    func check(_ value: JSON, _ name: String) throws(APIError) {
        switch (self, value) {
        case (.anything, _), (.flag, .flag), (.number, .integer), (.number, .number): return
        case (.nullable, .null): return
        case (.nullable(let schema), _): try schema.check(value, name)
        case (.text(let bytes), .text(let text)):
            // PostgreSQL keeps no NUL, and none has a meaning here.
            guard bytes.contains(text.utf8.count), !text.utf8.contains(0) else { throw complaint(name) }
        case (.choice(let choices), .text(let text)):
            guard choices.contains(text) else { throw complaint(name) }
        case (.integer(let range), .integer(let number)):
            guard range.contains(number) else { throw complaint(name) }
        case (.integer(let range), .number(let number)):
            // 60.0 is a whole number too (RFC 8259 knows no others).
            guard let whole = Int64(exactly: number), range.contains(whole) else { throw complaint(name) }
        case (.list(let element, let maximum), .list(let list)):
            guard list.count <= maximum else { throw complaint(name) }
            for value in list { try element.check(value, name) }
        case (.map(let element), .object(let object)):
            for (key, value) in object { try element.check(value, Self.path(name, key)) }
        case (.either(let first, let second), _):
            do { try first.check(value, name) } catch { try second.check(value, name) }
        case (.object(let members), .object(let object)):
            try Self.check(members, object, name)
        default: throw complaint(name)
        }
    }

    private static func check(_ members: [Member], _ object: [String: JSON], _ name: String) throws(APIError) {
        for member in members {
            guard let value = object[member.name] else {
                if member.isRequired { throw APIError.invalid("\(path(name, member.name)): is needed") }
                continue
            }
            // A field that may be left out may be null as well.
            if value == .null, !member.isRequired { continue }
            try member.schema.check(value, path(name, member.name))
        }
        let unknown = object.keys.filter { key in !members.contains { $0.name == key } }.sorted()
        guard unknown.isEmpty else {
            throw APIError.invalid("unknown fields: " + unknown.map { String($0.prefix(100)) }.joined(separator: ", "))
        }
    }

    private static func path(_ name: String, _ member: String) -> String {
        name.isEmpty ? String(member.prefix(100)) : "\(name).\(member.prefix(100))"
    }

    private func complaint(_ name: String) -> APIError {
        APIError.invalid(name.isEmpty ? "the body has to be \(expectation)" : "\(name): expected \(expectation)")
    }

    private var expectation: String {
        switch self {
        case .text(let bytes): "text of \(bytes.lowerBound) to \(bytes.upperBound) bytes"
        case .choice(let choices): choices.joined(separator: ", ")
        case .integer(let range):
            range.upperBound == .max
                ? "a whole number, \(range.lowerBound) at least"
                : "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number: "a number"
        case .flag: "true or false"
        case .list(let element, let maximum): "a list of \(maximum) at the most, each \(element.expectation)"
        case .object, .map: "a JSON object"
        case .nullable(let schema): schema.expectation + ", or null"
        case .either(let first, let second): first.expectation + ", or " + second.expectation
        case .anything: "anything"
        }
    }

    // MARK: - Telling

    /// As JSON Schema.
    var json: JSON {
        switch self {
        case .text(let bytes):
            // JSON Schema counts characters, of which there are no more than bytes.
            return [
                "type": "string", "minLength": .integer(Int64(min(bytes.lowerBound, 1))),
                "maxLength": .integer(Int64(bytes.upperBound)),
            ]
        case .choice(let choices): return ["type": "string", "enum": .list(choices.map(JSON.text))]
        case .integer(let range):
            var json: [String: JSON] = ["type": "integer", "format": "int64", "minimum": .integer(range.lowerBound)]
            if range.upperBound != .max { json["maximum"] = .integer(range.upperBound) }
            return .object(json)
        case .number: return ["type": "number"]
        case .flag: return ["type": "boolean"]
        case .list(let element, let maximum):
            return ["type": "array", "items": element.json, "maxItems": .integer(Int64(maximum))]
        case .map(let element): return ["type": "object", "additionalProperties": element.json]
        case .nullable(let schema): return ["anyOf": [schema.json, ["type": "null"]]]
        case .either(let first, let second): return ["anyOf": [first.json, second.json]]
        case .anything: return [:]
        case .object(let members):
            var properties: [String: JSON] = [:]
            for member in members {
                guard case .object(var json) = (member.isRequired ? member.schema : .optional(member.schema)).json
                else { continue }
                if !member.about.isEmpty { json["description"] = .text(member.about) }
                properties[member.name] = .object(json)
            }
            var json: [String: JSON] = [
                "type": "object", "properties": .object(properties), "additionalProperties": false,
            ]
            let required = members.filter(\.isRequired).map { JSON.text($0.name) }
            if !required.isEmpty { json["required"] = .list(required) }
            return .object(json)
        }
    }

    private static func optional(_ schema: Schema) -> Schema {
        switch schema {
        case .nullable, .anything: schema
        default: .nullable(schema)
        }
    }
}
