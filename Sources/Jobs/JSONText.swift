// SPDX-License-Identifier: Apache-2.0

import Foundation

/// JSON of payloads and results, with sorted keys, so that equal values are equal texts.
package enum JSONText {
    package static func encode(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            // Payloads and results are structs of strings and integers: there is nothing that JSON can't hold.
            preconditionFailure("\(type(of: value)) has no JSON form: \(error)")
        }
    }

    package static func decode<Value: Decodable>(_ type: Value.Type = Value.self, _ text: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
