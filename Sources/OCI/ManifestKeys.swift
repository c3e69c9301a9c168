// SPDX-License-Identifier: Apache-2.0

/// The keys of one JSON object of a manifest, as far as they decide what is pulled.
///
/// Of a key that is given twice some clients take the first value and some the last, and Go programs also match keys
/// whose case differs. Such a manifest could be checked here as one thing and run there as another, so it is refused.
struct ManifestKeys {
    /// Where in the manifest an object or array stands.
    enum Role {
        case document
        case descriptor
        case descriptorList
        case other
    }

    private let role: Role
    private var seen: Set<String> = []
    private var latest: String?

    private static let documentKeys = Self.byFoldedName([
        "schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "artifactType", "annotations",
    ])
    private static let descriptorKeys = Self.byFoldedName(["mediaType", "digest", "size", "platform", "urls"])
    /// No key that matters is longer: 13 characters, each as a six-byte escape.
    private static let longestKeyBytes = 6 * 13

    init(_ role: Role) {
        self.role = role
    }

    /// The keys of the object or array that starts as the value at hand.
    func child(isObject: Bool) -> ManifestKeys {
        switch (role, latest) {
        case (.document, "config"), (.document, "subject"): ManifestKeys(isObject ? .descriptor : .other)
        case (.document, "layers"), (.document, "manifests"): ManifestKeys(isObject ? .other : .descriptorList)
        case (.descriptorList, _): ManifestKeys(isObject ? .descriptor : .other)
        default: ManifestKeys(.other)
        }
    }

    /// Takes the next key, as it stands between its quotes.
    ///
    /// - Throws: ``OCIError`` with code `invalidManifest` when it matters and is not the only one of its name.
    mutating func add(_ raw: ArraySlice<UInt8>) throws(OCIError) {
        guard role == .document || role == .descriptor else { return }
        latest = nil
        guard raw.count <= Self.longestKeyBytes else { return }
        let key = Self.unescape(raw)
        let known = role == .document ? Self.documentKeys : Self.descriptorKeys
        guard let name = known[Self.fold(key)] else { return }
        guard key == name else {
            throw OCIError(
                .invalidManifest,
                "manifest has key \(key.quoted), which some clients take for \(name.quoted)"
            )
        }
        guard seen.insert(name).inserted else {
            throw OCIError(.invalidManifest, "manifest has key \(name.quoted) twice in one object")
        }
        latest = name
    }

    private static func byFoldedName(_ keys: [String]) -> [String: String] {
        Dictionary(keys.map { (fold($0), $0) }) { first, _ in first }
    }

    /// Resolves escapes, so that `"l\u0061yers"` is known for what it is. Unpaired surrogates become U+FFFD.
    private static func unescape(_ raw: ArraySlice<UInt8>) -> String {
        guard raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
        var units: [UInt16] = []
        var rest = Substring(decoding: raw, as: UTF8.self).utf16
        while let unit = rest.popFirst() {
            guard unit == UInt16(UInt8(ascii: "\\")), let escape = rest.popFirst() else {
                units.append(unit)
                continue
            }
            if escape == UInt16(UInt8(ascii: "u")), let value = UInt16(Substring(rest.prefix(4)), radix: 16) {
                rest = rest.dropFirst(4)
                units.append(value)
            } else {
                // The other escapes stand for control characters and punctuation, which no key that matters has.
                units.append(0xFFFD)
            }
        }
        return String(decoding: units, as: UTF16.self)
    }

    /// Folds case as Go's `encoding/json` does: ASCII, and the two letters whose simple folding is ASCII.
    private static func fold(_ key: String) -> String {
        var result = ""
        for scalar in key.unicodeScalars {
            switch scalar {
            case "A"..."Z": result += String(scalar).lowercasedASCII
            case "\u{17F}": result += "s"
            case "\u{212A}": result += "k"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
