// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A statement whose interpolated values are binds: `"SELECT … WHERE id = \(id)"` sends `$1` and the value apart.
package struct Query: ExpressibleByStringInterpolation, Sendable, CustomStringConvertible {
    struct Bind: Sendable {
        /// Type's object id; 0 lets the server infer it.
        let type: UInt32
        let text: String?
    }

    package struct StringInterpolation: StringInterpolationProtocol {
        /// What is between the binds, one more than there are of them.
        var texts = [""]
        var binds: [Bind] = []
        var failure: PostgresError?

        package init(literalCapacity: Int, interpolationCount: Int) {
            texts.reserveCapacity(interpolationCount + 1)
            binds.reserveCapacity(interpolationCount)
        }

        package mutating func appendLiteral(_ literal: String) { texts[binds.count] += literal }

        /// A part of the statement, with its binds.
        package mutating func appendInterpolation(_ part: Query) {
            texts[binds.count] += part.texts[0]
            texts += part.texts.dropFirst()
            binds += part.binds
            failure = failure ?? part.failure
        }

        package mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value) {
            bind(Bind(type: Value.postgresType, text: value.postgresText))
        }

        package mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            bind(Bind(type: Value.postgresType, text: value?.postgresText))
        }

        /// Text that becomes part of the statement: identifiers and column lists written in the source, nothing else.
        package mutating func appendInterpolation(unescaped text: String) { appendLiteral(text) }

        /// The value's JSON, as `jsonb`.
        package mutating func appendInterpolation(json value: some Encodable) {
            do {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                let text = String(decoding: try encoder.encode(value), as: UTF8.self)
                bind(Bind(type: 0, text: text))
                appendLiteral("::jsonb")
            } catch {
                failure = PostgresError(.encode, "\(type(of: value)) has no JSON form")
            }
        }

        /// An interval; NULL for nil, which makes NULL of a sum with it.
        package mutating func appendInterpolation(seconds duration: Duration?) {
            appendInterpolation(duration.map { $0 / .seconds(1) })
            appendLiteral("::float8 * interval '1 second'")
        }

        private mutating func bind(_ bind: Bind) {
            binds.append(bind)
            texts.append("")
        }
    }

    package let sql: String
    private let texts: [String]
    let binds: [Bind]
    /// Whether the server keeps it parsed and planned for the session.
    private(set) var isPrepared = false
    private let failure: PostgresError?

    package init(stringLiteral sql: String) {
        self.sql = sql
        texts = [sql]
        binds = []
        failure = nil
    }

    package init(stringInterpolation interpolation: StringInterpolation) {
        texts = interpolation.texts
        sql = texts.dropFirst().enumerated().reduce(into: texts[0]) { sql, next in
            sql += "$\(next.offset + 1)"
            sql += next.element
        }
        binds = interpolation.binds
        failure = interpolation.failure
    }

    /// The same statement, parsed and planned once for each connection.
    var prepared: Query {
        var query = self
        query.isPrepared = true
        return query
    }

    /// The statement, without the values.
    package var description: String { sql }

    func parameters() throws(PostgresError) -> (types: [UInt32], values: [String?]) {
        if let failure { throw failure }
        for (index, bind) in binds.enumerated() where bind.text?.utf8.contains(0) == true {
            throw PostgresError(.encode, "bind \(index + 1) contains a NUL, which PostgreSQL text can't hold")
        }
        return (binds.map(\.type), binds.map(\.text))
    }
}

/// An identifier in quotes, for statements that name what only run time knows.
package func quoteIdentifier(_ name: String) -> String {
    "\"" + name.replacing("\"", with: "\"\"") + "\""
}
