// SPDX-License-Identifier: Apache-2.0

/// The page of a list that somebody asks for.
struct Page: Sendable {
    let limit: Int
    /// The end of the page before; nil for the first one.
    let after: [String]?

    /// Reads ``PageCursor/parameter`` and ``PageCursor/limit``. Throws ``APIError``.
    /// - Parameter parts: of what tells the end of a page
    init(_ call: Call, parts: Int) throws {
        limit = call.query.integer("limit").map(Int.init) ?? PageCursor.defaultLimit
        after = try PageCursor.decode(call.query, parts: parts)
    }

    /// What belongs to this page of a list that was read one entry further, and the cursor of the next page.
    func cut<Element>(_ list: [Element], end: (Element) throws -> [String]) throws -> ([Element], String?) {
        guard list.count > limit, limit > 0 else { return (list, nil) }
        return (Array(list.prefix(limit)), try PageCursor.encode(end(list[limit - 1])))
    }
}
