// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Where the next page of a list begins: opaque to clients, base64url of the last page's end.
enum PageCursor {
    /// Entries of a page that doesn't say how many it wants.
    static let defaultLimit = 50
    static let limit = Schema.may("limit", .integer(1...100), "Entries of a page; 50 unless it is given.")
    static let parameter = Schema.may("next_page", .text(1...2048), "What the page before says.")
    /// In answers; left out on the last page.
    static let member = Schema.may("next_page", .text(1...2048), "Asks for the next page; not there on the last one.")

    static func encode(_ end: [String]) throws -> String {
        try JSONEncoder().encode(end).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// The end of the page before, in so many parts; nil for the first page. Throws ``APIError`` for anything that no
    /// page has said.
    static func decode(_ fields: Fields, parts: Int) throws -> [String]? {
        guard let text = fields.text("next_page") else { return nil }
        let standard = text.replacing("-", with: "+").replacing("_", with: "/")
        let padded = standard + String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        guard let data = Data(base64Encoded: padded), let end = try? JSONDecoder().decode([String].self, from: data),
            end.count == parts, end.allSatisfy({ !$0.utf8.contains(0) })
        else { throw APIError.invalid("next_page: is none that a page has said") }
        return end
    }
}
