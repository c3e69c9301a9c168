// SPDX-License-Identifier: Apache-2.0

/// Looks over the JSON of a manifest before it is decoded.
///
/// Refuses what a decoder would choke on (deep nesting), what it would pass although no other client does (trailing
/// commas, control characters in strings that nobody reads), and what it would silently settle (repeated keys, see
/// ``ManifestKeys``). The grammar is RFC 8259 to the letter.
struct ManifestScanner {
    /// What may come next.
    private enum Expectation {
        case value
        case valueOrEnd
        case key
        case keyOrEnd
        case colon
        case commaOrEnd
        case nothing
    }

    private struct Frame {
        var isObject: Bool
        var keys: ManifestKeys
    }

    private let bytes: [UInt8]
    private let maximumDepth: Int
    private var position = 0
    private var expectation = Expectation.value
    private var frames: [Frame] = []

    /// Checks one document.
    ///
    /// - Throws: ``OCIError`` with code `invalidManifest` when it is not UTF-8, not one JSON object, nested deeper
    ///   than `maximumDepth`, or when a key that matters is ambiguous.
    static func check(_ bytes: [UInt8], maximumDepth: Int) throws(OCIError) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw OCIError(.invalidManifest, "manifest is not UTF-8")
        }
        var scanner = ManifestScanner(bytes: bytes, maximumDepth: maximumDepth)
        try scanner.run()
    }

    private init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private var malformed: OCIError {
        guard position < bytes.count else { return OCIError(.invalidManifest, "manifest ends early") }
        return OCIError(.invalidManifest, "manifest is not JSON at byte \(position)")
    }

    private mutating func run() throws(OCIError) {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            case UInt8(ascii: "{"), UInt8(ascii: "["): try open(isObject: byte == UInt8(ascii: "{"))
            case UInt8(ascii: "}"), UInt8(ascii: "]"): try close(isObject: byte == UInt8(ascii: "}"))
            case UInt8(ascii: ","):
                guard expectation == .commaOrEnd, let frame = frames.last else { throw malformed }
                expectation = frame.isObject ? .key : .value
                position += 1
            case UInt8(ascii: ":"):
                guard expectation == .colon else { throw malformed }
                expectation = .value
                position += 1
            case UInt8(ascii: "\""): try scanString()
            default: try scanScalar()
            }
        }
        guard expectation == .nothing else { throw malformed }
    }

    private mutating func open(isObject: Bool) throws(OCIError) {
        guard expectation == .value || expectation == .valueOrEnd else { throw malformed }
        guard frames.count < maximumDepth else {
            throw OCIError(.invalidManifest, "manifest is nested deeper than \(maximumDepth)")
        }
        guard let parent = frames.last else {
            guard isObject else { throw OCIError(.invalidManifest, "manifest is not a JSON object") }
            return push(Frame(isObject: true, keys: ManifestKeys(.document)))
        }
        push(Frame(isObject: isObject, keys: parent.keys.child(isObject: isObject)))
    }

    private mutating func push(_ frame: Frame) {
        frames.append(frame)
        expectation = frame.isObject ? .keyOrEnd : .valueOrEnd
        position += 1
    }

    private mutating func close(isObject: Bool) throws(OCIError) {
        let mayEnd = expectation == .commaOrEnd || expectation == (isObject ? .keyOrEnd : .valueOrEnd)
        guard mayEnd, let frame = frames.last, frame.isObject == isObject else { throw malformed }
        frames.removeLast()
        position += 1
        endValue()
    }

    private mutating func endValue() {
        expectation = frames.isEmpty ? .nothing : .commaOrEnd
    }

    private mutating func scanString() throws(OCIError) {
        let isKey = expectation == .key || expectation == .keyOrEnd
        guard isKey || expectation == .value || expectation == .valueOrEnd, let last = frames.indices.last else {
            throw frames.isEmpty ? OCIError(.invalidManifest, "manifest is not a JSON object") : malformed
        }
        position += 1
        let start = position
        while let byte = current, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw malformed }
            position += 1
            if byte == UInt8(ascii: "\\") { try scanEscape() }
        }
        guard current != nil else { throw malformed }
        let content = bytes[start..<position]
        position += 1
        if isKey {
            try frames[last].keys.add(content)
            expectation = .colon
        } else {
            endValue()
        }
    }

    private mutating func scanEscape() throws(OCIError) {
        switch current {
        case UInt8(ascii: "u"):
            position += 1
            for _ in 0..<4 {
                guard current?.hexValue != nil else { throw malformed }
                position += 1
            }
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        default: throw malformed
        }
    }

    /// A literal or a number.
    private mutating func scanScalar() throws(OCIError) {
        guard !frames.isEmpty else { throw OCIError(.invalidManifest, "manifest is not a JSON object") }
        guard expectation == .value || expectation == .valueOrEnd else { throw malformed }
        let literal: StaticString
        switch current {
        case UInt8(ascii: "t"): literal = "true"
        case UInt8(ascii: "f"): literal = "false"
        case UInt8(ascii: "n"): literal = "null"
        default:
            try scanNumber()
            return endValue()
        }
        guard literal.withUTF8Buffer({ bytes[position...].starts(with: $0) }) else { throw malformed }
        position += literal.utf8CodeUnitCount
        endValue()
    }

    private mutating func scanNumber() throws(OCIError) {
        if current == UInt8(ascii: "-") { position += 1 }
        if current == UInt8(ascii: "0") { position += 1 } else { try scanDigits() }
        if current == UInt8(ascii: ".") {
            position += 1
            try scanDigits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            try scanDigits()
        }
    }

    private mutating func scanDigits() throws(OCIError) {
        guard current?.isDigit == true else { throw malformed }
        while current?.isDigit == true { position += 1 }
    }
}
