// SPDX-License-Identifier: Apache-2.0

/// A value as far as it can be read. Clair's documents are looser than their published schema: fields are missing, null,
/// or of another type from one version to the next. What isn't understood is as if it weren't there.
struct Lenient<Value: Decodable>: Decodable {
    let value: Value?

    init(from decoder: any Decoder) {
        value = try? Value(from: decoder)  // see above: that is what this type is for
    }
}

extension KeyedDecodingContainer {
    /// Nil for what is missing, null, or of another type.
    func lenient<Value: Decodable>(_ key: Key) -> Value? {
        (try? decodeIfPresent(Lenient<Value>.self, forKey: key))?.value  // it throws for nothing else
    }

    /// The entries that can be read.
    func lenientMap<Value: Decodable>(_ key: Key) -> [String: Value] {
        let map: [String: Lenient<Value>]? = lenient(key)
        return (map ?? [:]).compactMapValues(\.value)
    }

    /// The items that can be read.
    func lenientList<Value: Decodable>(_ key: Key) -> [Value] {
        let list: [Lenient<Value>]? = lenient(key)
        return (list ?? []).compactMap(\.value)
    }
}

extension Lenient: Sendable where Value: Sendable {}

/// Text, or a number that stands for it: ids are both.
struct LooseText: Decodable, Sendable {
    let text: String

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {  // else it has to be a number
            self.text = text
        } else {
            text = String(try container.decode(Int64.self))
        }
    }
}
