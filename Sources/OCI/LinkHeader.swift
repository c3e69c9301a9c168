// SPDX-License-Identifier: Apache-2.0

/// The `Link` header by which registries page lists (RFC 8288): `</v2/name/tags/list?n=2&last=b>; rel="next"`.
package enum LinkHeader {
    /// The most bytes of a header that is read; a longer one has no next page.
    package static let maximumBytes = 8_192

    /// The target of the first link whose relation is `next`, as it stands between the angle brackets: absolute or
    /// relative, and written by a stranger. nil when there is none, or none without control characters.
    package static func nextTarget(in headerValue: String) -> String? {
        let bytes = Array(headerValue.utf8)
        guard bytes.count <= maximumBytes else { return nil }
        var position = 0
        while let open = bytes[position...].firstIndex(of: UInt8(ascii: "<")) {
            guard let close = bytes[open...].firstIndex(of: UInt8(ascii: ">")) else { return nil }
            let target = bytes[(open + 1)..<close]
            position = close + 1
            let relations = relations(in: bytes, from: &position)
            if relations.contains("next"), !target.isEmpty, !target.contains(where: \.isControl) {
                return String(decoding: target, as: UTF8.self)
            }
        }
        return nil
    }

    /// The header that announces the next page at `target`. Characters that would end the link early are encoded.
    package static func render(next target: String) -> String {
        var text = ""
        for scalar in target.unicodeScalars {
            if scalar.value <= 0x20 || scalar.value >= 0x7F || scalar == "<" || scalar == ">" || scalar == "\"" {
                text += PercentEncoding.encode(String(scalar))
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return "<\(text)>; rel=\"next\""
    }

    /// Reads the parameters of one link, up to and with the comma after it. Only the first `rel` counts
    /// (RFC 8288 section 3.3).
    private static func relations(in bytes: [UInt8], from position: inout Int) -> [String] {
        var parameters: [[UInt8]] = [[]]
        var isQuoted = false
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if byte == UInt8(ascii: ","), !isQuoted {
                break
            } else if byte == UInt8(ascii: ";"), !isQuoted {
                parameters.append([])
            } else {
                parameters[parameters.count - 1].append(byte)
            }
        }
        for parameter in parameters {
            let halves = String(decoding: parameter, as: UTF8.self)
                .split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, Substring(halves[0].utf8.trimmingBlanks()).lowercasedASCII == "rel" else {
                continue
            }
            return halves[1].split { $0 == " " || $0 == "\t" }.map(\.lowercasedASCII)
        }
        return []
    }
}
