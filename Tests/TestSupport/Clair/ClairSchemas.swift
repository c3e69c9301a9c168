// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Those of Clair's published schemas that say what it may be sent.
struct ClairSchemas: Sendable {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

    private let check: SchemaCheck

    init() throws {
        var texts: [String: Data] = [:]
        for name in ["manifest", "layer", "digest"].map({ $0 + ".schema.json" }) {
            texts[name] = try Data(contentsOf: Self.folder.appending(path: name))
        }
        check = SchemaCheck(references: texts)
    }

    /// What is wrong with a manifest that is to be indexed; empty when it conforms.
    func complaints(aboutManifest value: Any) -> [String] {
        check.complaints(value, ["$ref": "manifest.schema.json"], at: "")
    }
}
