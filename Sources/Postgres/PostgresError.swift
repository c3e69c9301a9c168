// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// What went wrong between us and PostgreSQL. Messages carry no bind values.
package struct PostgresError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String {
            case connect, connectionLost, timeout, server, decode, encode, poolClosed, acquireTimeout
        }
        private let base: Base
        private init(_ base: Base) { self.base = base }

        /// No connection could be made.
        package static let connect = Self(.connect)
        /// A connection broke.
        package static let connectionLost = Self(.connectionLost)
        /// A statement took longer than its deadline; it was cancelled.
        package static let timeout = Self(.timeout)
        /// The server refused a statement; `sqlState` says why.
        package static let server = Self(.server)
        /// A column isn't what the caller expects.
        package static let decode = Self(.decode)
        /// A value can't be sent.
        package static let encode = Self(.encode)
        /// The client was closed.
        package static let poolClosed = Self(.poolClosed)
        /// All connections stayed busy for the whole deadline.
        package static let acquireTimeout = Self(.acquireTimeout)

        package var description: String { base.rawValue }
    }

    package let code: Code
    package let message: String
    /// Present when the server sent one.
    package let sqlState: SQLState?
    /// Name of the violated constraint, when there is one.
    package let constraint: String?
    package let file: String
    package let line: Int

    init(
        _ code: Code,
        _ message: String,
        sqlState: SQLState? = nil,
        constraint: String? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.sqlState = sqlState
        self.constraint = constraint
        self.file = file
        self.line = line
    }

    /// The server's own words, unless they show values: its DETAIL line does, and so do messages of data exceptions
    /// (class 22), as in `invalid input syntax for type uuid: "…"`.
    init(result: OpaquePointer) {
        func field(_ name: Character) -> String? {
            PQresultErrorField(result, Int32(name.asciiValue ?? 0)).map { String(cString: $0) }
        }
        let state = field("C")
        let message = state?.hasPrefix("22") == true ? "a value isn't what the statement needs" : field("M")
        self.init(
            .server,
            message ?? "the server refused the statement",
            sqlState: state.map(SQLState.init(rawValue:)),
            constraint: field("n")
        )
    }

    package var description: String {
        "\(code)\(sqlState.map { " \($0.rawValue)" } ?? ""): \(message)"
    }
}

/// Class and condition of a server error (PostgreSQL documentation, appendix A); those that somebody acts on.
package struct SQLState: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    package static let foreignKeyViolation = Self(rawValue: "23503")
    package static let uniqueViolation = Self(rawValue: "23505")
    package static let checkViolation = Self(rawValue: "23514")
    package static let inFailedTransaction = Self(rawValue: "25P02")
    package static let serializationFailure = Self(rawValue: "40001")
    package static let deadlockDetected = Self(rawValue: "40P01")
    package static let undefinedTable = Self(rawValue: "42P01")
    package static let tooManyConnections = Self(rawValue: "53300")
    package static let lockNotAvailable = Self(rawValue: "55P03")
    package static let queryCanceled = Self(rawValue: "57014")
    package static let adminShutdown = Self(rawValue: "57P01")
    package static let cannotConnectNow = Self(rawValue: "57P03")
}
