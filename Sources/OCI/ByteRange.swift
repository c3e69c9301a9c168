// SPDX-License-Identifier: Apache-2.0

/// Reads `Range` headers.
package enum ByteRange {
    /// The most ranges that one request may ask for. A header with more is ignored (RFC 9110 section 14.2).
    package static let maximumRanges = 16

    /// Decides how to answer.
    ///
    /// - The order of the ranges is kept and none are merged.
    /// - Another unit than `bytes`, a malformed header, more than ``maximumRanges`` ranges, and ranges that together
    ///   exceed the representation are ignored, so a client cannot ask for more bytes than there are.
    /// - A range that ends before it starts makes the header unsatisfiable; of other ranges those that lie outside
    ///   are left out.
    /// - A representation of 0 bytes is always served whole: some clients put `bytes=0-` on every request, and there
    ///   is nothing a partial answer could carry.
    ///
    /// - Parameters:
    ///   - header: Value of `Range`; nil when there is none.
    ///   - size: Length of the representation in bytes.
    package static func resolve(header: String?, size: Int64) -> RangeResolution {
        guard size > 0, let header, let specs = parse(header) else { return .whole }
        var slices: [ByteSlice] = []
        for spec in specs {
            switch spec {
            case .from(let first, let last):
                if let last, last < first { return .unsatisfiable }
                guard first < size else { continue }
                slices.append(ByteSlice(offset: first, length: min(last ?? .max, size - 1) - first + 1))
            case .suffix(let length):
                guard length > 0 else { continue }
                let offset = max(0, size - min(length, size))
                slices.append(ByteSlice(offset: offset, length: size - offset))
            }
        }
        guard !slices.isEmpty else { return .unsatisfiable }
        var rest = size
        for slice in slices {
            guard slice.length <= rest else { return .whole }
            rest -= slice.length
        }
        return .satisfiable(slices)
    }

    /// `Content-Range` of a 416 (RFC 9110 section 14.4).
    package static func unsatisfiedContentRange(size: Int64) -> String { "bytes */\(size)" }

    private enum Spec {
        case from(Int64, last: Int64?)
        case suffix(Int64)
    }

    /// nil when the header is to be ignored.
    private static func parse(_ header: String) -> [Spec]? {
        let halves = header.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, Substring(halves[0].utf8.trimmingBlanks()).lowercasedASCII == "bytes" else {
            return nil
        }
        var specs: [Spec] = []
        // RFC 9110 section 5.6.1.2: a recipient accepts empty elements of a list.
        for element in halves[1].utf8.split(separator: UInt8(ascii: ",")) {
            let element = element.trimmingBlanks()
            guard !element.isEmpty else { continue }
            guard specs.count < maximumRanges, let spec = parse(element) else { return nil }
            specs.append(spec)
        }
        return specs.isEmpty ? nil : specs
    }

    private static func parse(_ element: Substring.UTF8View) -> Spec? {
        guard let dash = element.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        let first = element[..<dash]
        let last = element[element.index(after: dash)...]
        if first.isEmpty { return number(last).map(Spec.suffix) }
        guard let start = number(first) else { return nil }
        if last.isEmpty { return .from(start, last: nil) }
        return number(last).map { .from(start, last: $0) }
    }

    /// A run of digits; a number that does not fit is the largest there is, which lies behind every representation.
    private static func number(_ digits: Substring.UTF8View) -> Int64? {
        guard !digits.isEmpty, digits.allSatisfy(\.isDigit) else { return nil }
        return Int64(Substring(digits)) ?? .max
    }
}
