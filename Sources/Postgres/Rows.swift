// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// The result of a statement.
package struct Rows: RandomAccessCollection, Sendable {
    /// Rows that an INSERT, UPDATE, DELETE or SELECT touched.
    package let affectedRows: Int
    private let columns: [String]
    private let cells: [String?]

    package var startIndex: Int { 0 }
    package let endIndex: Int

    static let empty = Rows()

    private init() {
        affectedRows = 0
        columns = []
        cells = []
        endIndex = 0
    }

    init(_ result: OpaquePointer) {
        let width = PQnfields(result)
        let height = PQntuples(result)
        affectedRows = Int(String(cString: PQcmdTuples(result))) ?? 0
        columns = (0..<width).map { String(cString: PQfname(result, $0)) }
        var cells: [String?] = []
        cells.reserveCapacity(Int(width) * Int(height))
        for row in 0..<height {
            for column in 0..<width {
                guard PQgetisnull(result, row, column) == 0, let value = PQgetvalue(result, row, column) else {
                    cells.append(nil)
                    continue
                }
                let length = Int(PQgetlength(result, row, column))
                let bytes = UnsafeRawBufferPointer(start: value, count: length)
                cells.append(String(decoding: bytes, as: UTF8.self))
            }
        }
        self.cells = cells
        endIndex = Int(height)
    }

    package subscript(position: Int) -> Row {
        let start = position * columns.count
        return Row(columns: columns, cells: cells[start..<start + columns.count])
    }

    /// All rows as tuples. Throws ``PostgresError`` `decode` that names the column.
    package func decode<each Column: PostgresDecodable>(
        _ types: (repeat each Column).Type
    ) throws(PostgresError) -> [(repeat each Column)] {
        var decoded: [(repeat each Column)] = []
        decoded.reserveCapacity(count)
        for row in self { decoded.append(try row.decode(types)) }
        return decoded
    }

    /// The first row as a tuple; nil when there is none.
    package func decodeFirst<each Column: PostgresDecodable>(
        _ types: (repeat each Column).Type
    ) throws(PostgresError) -> (repeat each Column)? {
        guard let row = first else { return nil }
        return try row.decode(types)
    }
}

/// One row of a result.
package struct Row: Sendable {
    private let columns: [String]
    private let cells: ArraySlice<String?>

    init(columns: [String], cells: ArraySlice<String?>) {
        self.columns = columns
        self.cells = cells
    }

    /// The columns in their order. Throws ``PostgresError`` `decode` that names the column, or when the counts differ.
    package func decode<each Column: PostgresDecodable>(
        _: (repeat each Column).Type
    ) throws(PostgresError) -> (repeat each Column) {
        var reader = Reader(row: self)
        let tuple = (repeat try reader.next((each Column).self))
        guard reader.index == columns.count else {
            throw PostgresError(.decode, "the row has \(columns.count) columns, \(reader.index) were expected")
        }
        return tuple
    }

    /// One column by its name.
    package func decode<Value: PostgresDecodable>(
        _ column: String,
        as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        guard let index = columns.firstIndex(of: column) else {
            throw PostgresError(.decode, "the row has no column \(column)")
        }
        return try Value.decode(cells[cells.startIndex + index], column: column)
    }

    private struct Reader {
        let row: Row
        var index = 0

        mutating func next<Value: PostgresDecodable>(_: Value.Type) throws(PostgresError) -> Value {
            guard index < row.columns.count else {
                throw PostgresError(.decode, "the row has only \(row.columns.count) columns")
            }
            defer { index += 1 }
            return try Value.decode(row.cells[row.cells.startIndex + index], column: row.columns[index])
        }
    }
}
