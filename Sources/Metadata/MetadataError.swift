// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the metadata store refuses or can't make sense of; PostgreSQL's own failures are `PostgresError`s.
package struct MetadataError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String { case corruptRow, schemaTooOld, schemaTooNew, schemaMismatch }
        private let base: Base
        private init(_ base: Base) { self.base = base }

        /// A row holds text that its type forbids.
        package static let corruptRow = Self(.corruptRow)
        /// The database has fewer migrations than this binary needs.
        package static let schemaTooOld = Self(.schemaTooOld)
        /// The database has migrations that this binary doesn't know.
        package static let schemaTooNew = Self(.schemaTooNew)
        /// An applied migration isn't the one that this binary carries under that number.
        package static let schemaMismatch = Self(.schemaMismatch)

        package var description: String { base.rawValue }
    }

    package let code: Code
    package let message: String
    package let file: String
    package let line: Int

    init(_ code: Code, _ message: String, file: String = #fileID, line: Int = #line) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    package var description: String { "\(code): \(message)" }
}

/// Turns a column's text into the type that the schema promises.
/// Throws ``MetadataError`` naming the column, never the value.
func parsed<Value: RawRepresentable>(_ text: String, _ column: StaticString) throws -> Value
where Value.RawValue == String {
    guard let value = Value(rawValue: text) else {
        throw MetadataError(.corruptRow, "column \(column) holds no \(Value.self)")
    }
    return value
}

/// Reads a JSON column. Throws ``MetadataError`` naming the column, never the value.
func decoded<Value: Decodable>(_ text: String, _ column: StaticString) throws -> Value {
    do {
        return try JSONDecoder().decode(Value.self, from: Data(text.utf8))
    } catch {
        throw MetadataError(.corruptRow, "column \(column) holds no \(Value.self)")
    }
}
