// SPDX-License-Identifier: Apache-2.0

/// One-dimensional arrays without NULLs, in PostgreSQL's text format: `{a,"b, c","d\"e"}`.
extension Array: PostgresDecodable, PostgresTextDecodable where Element: PostgresTextDecodable {
    package init?(postgresText text: String) {
        guard let items = PostgresArrayText.items(text) else { return nil }
        var values: [Element] = []
        for item in items {
            guard let value = Element(postgresText: item) else { return nil }
            values.append(value)
        }
        self = values
    }
}

private enum PostgresArrayText {
    /// Nil for what isn't such an array.
    static func items(_ text: String) -> [String]? {
        guard text.hasPrefix("{"), text.hasSuffix("}"), text.utf8.count >= 2 else { return nil }
        var rest = text.dropFirst().dropLast()
        var items: [String] = []
        while !rest.isEmpty {
            guard let item = rest.first == "\"" ? quoted(&rest) : bare(&rest) else { return nil }
            items.append(item)
            guard let comma = rest.popFirst() else { break }
            guard comma == ",", !rest.isEmpty else { return nil }
        }
        return items
    }

    private static func quoted(_ rest: inout Substring) -> String? {
        rest.removeFirst()
        var item = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return item
            case "\\":
                guard let escaped = rest.popFirst() else { return nil }
                item.append(escaped)
            default: item.append(character)
            }
        }
        return nil
    }

    private static func bare(_ rest: inout Substring) -> String? {
        let item = rest.prefix { $0 != "," }
        rest = rest[item.endIndex...]
        // Unquoted, this is the absence of a value; and braces begin another dimension.
        guard !item.isEmpty, item.uppercased() != "NULL", !item.contains(where: { "{}\"".contains($0) }) else {
            return nil
        }
        return String(item)
    }
}
