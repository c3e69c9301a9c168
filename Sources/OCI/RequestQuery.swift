// SPDX-License-Identifier: Apache-2.0

/// The query of a registry request. Only parameters that are asked for are decoded; of one that is given twice the
/// first counts.
struct RequestQuery {
    private let pairs: [(key: Substring, value: Substring)]

    /// Longest text that is taken from a query.
    private static let maximumTextLength = 255

    init(_ raw: Substring) {
        pairs = raw.utf8.split(separator: UInt8(ascii: "&")).map { pair in
            let sign = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            return (Substring(pair[..<sign]), Substring(pair[sign...].dropFirst()))
        }
    }

    /// The value of `key` as text; nil when it is absent or empty.
    ///
    /// - Throws: ``RegistryError`` 400 when it is not printable text of at most 255 bytes.
    func text(_ key: String) throws(RegistryError) -> String? {
        guard let raw = raw(key), !raw.isEmpty else { return nil }
        guard let text = PercentEncoding.decode(raw), text.utf8.count <= Self.maximumTextLength,
            !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw RegistryError(.unsupported, message: "query parameter \(key.quoted) is \(raw.quoted)")
        }
        return text
    }

    /// The page size `n`, at most 2^31 - 1: a larger number asks for "as many as there are".
    ///
    /// - Throws: ``RegistryError`` 400 when it is not a number, or negative.
    func count() throws(RegistryError) -> Int? {
        guard let text = try text("n") else { return nil }
        guard text.utf8.allSatisfy(\.isDigit) else {
            throw RegistryError(.unsupported, message: "query parameter \"n\" is \(text.quoted), not a number")
        }
        return min(Int(text) ?? Int(Int32.max), Int(Int32.max))
    }

    /// The registry host `ns`, in lower case.
    ///
    /// - Throws: ``RegistryError`` 400 `NAME_INVALID` when it is not a host with an optional port.
    func namespace() throws(RegistryError) -> String? {
        guard let text = try text("ns") else { return nil }
        guard Authority.isValid(text) else {
            throw RegistryError(.nameInvalid, message: "query parameter \"ns\" is \(text.quoted), not a host")
        }
        return text.lowercasedASCII
    }

    private func raw(_ key: String) -> Substring? {
        pairs.first { $0.key == key || PercentEncoding.decode($0.key) == key }?.value
    }
}
