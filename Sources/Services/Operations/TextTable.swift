// SPDX-License-Identifier: Apache-2.0

/// Columns of text, as wide as they have to be.
package struct TextTable: Sendable {
    private let header: [String]
    private var rows: [[String]] = []

    package init(_ header: [String]) { self.header = header }

    /// - Parameter row: as many cells as the header has
    package mutating func add(_ row: [String]) { rows.append(row) }

    package var isEmpty: Bool { rows.isEmpty }

    /// Header and rows, without blanks at their ends.
    package var lines: [String] {
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
        return ([header] + rows).map { row in
            let cells = zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}
