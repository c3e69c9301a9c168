// SPDX-License-Identifier: Apache-2.0

/// Columns as wide as their widest cell.
enum TextTable {
    static func lines(_ head: [String], _ rows: [[String]]) -> [String] {
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        return ([head] + rows).map { row in
            let cells = row.indices.map { column in
                row[column] + String(repeating: " ", count: widths[column] - row[column].count)
            }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }

    static func text(_ head: [String], _ rows: [[String]]) -> String { lines(head, rows).joined(separator: "\n") }
}
