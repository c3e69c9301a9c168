// SPDX-License-Identifier: Apache-2.0

import Foundation
import Hummingbird
import Models
import NIOCore

/// The fields of a JSON object that a client sent. Each is read once, by its name; one that nobody reads is a mistake.
struct Fields {
    private static let maximumBytes = 1_048_576

    private var values: [String: Any]

    /// Throws ``APIError`` for what is no JSON object, or larger than a megabyte.
    init(_ request: Request) async throws {
        let body: ByteBuffer
        do { body = try await request.body.collect(upTo: Self.maximumBytes) } catch is NIOTooManyBytesError {
            throw APIError(status: .contentTooLarge, type: "invalid_request", message: "the body is larger than 1 MiB")
        }
        // What can't be read is the client's mistake, and told as such.
        let object = try? JSONSerialization.jsonObject(with: Data(body.readableBytesView))
        guard let values = object as? [String: Any] else { throw APIError.invalid("the body has to be a JSON object") }
        self.values = values
    }

    private mutating func take(_ name: String) -> Any? {
        guard let value = values.removeValue(forKey: name), !(value is NSNull) else { return nil }
        return value
    }

    /// Whether the field is there, be it null.
    func has(_ name: String) -> Bool { values[name] != nil }

    mutating func string(_ name: String) throws -> String? {
        guard let value = take(name) else { return nil }
        guard let text = value as? String else { throw APIError.invalid("\(name): expected a string") }
        return text
    }

    mutating func bool(_ name: String) throws -> Bool? {
        guard let value = take(name) else { return nil }
        guard let number = value as? NSNumber, Self.isBool(number) else {
            throw APIError.invalid("\(name): expected true or false")
        }
        return number.boolValue
    }

    mutating func seconds(_ name: String) throws -> Int64? {
        guard let value = take(name) else { return nil }
        let longest: Int64 = 10 * 366 * 86_400
        guard let number = value as? NSNumber, !Self.isBool(number), number.doubleValue == number.doubleValue.rounded(),
            (0...Double(longest)).contains(number.doubleValue)
        else { throw APIError.invalid("\(name): expected a whole number of seconds, from 0 to \(longest)") }
        return number.int64Value
    }

    mutating func strings(_ name: String) throws -> [String]? {
        guard let value = take(name) else { return nil }
        guard let list = value as? [String], list.count <= 100, list.allSatisfy({ $0.utf8.count <= 255 }) else {
            throw APIError.invalid("\(name): expected a list of 100 strings at the most")
        }
        return list
    }

    /// Throws ``APIError`` that names the fields that nobody has read.
    func finish() throws {
        guard !values.isEmpty else { return }
        throw APIError.invalid("unknown fields: " + values.keys.sorted().joined(separator: ", "))
    }

    private static func isBool(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
