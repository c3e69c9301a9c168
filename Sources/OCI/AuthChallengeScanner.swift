// SPDX-License-Identifier: Apache-2.0

/// Takes one header line apart. Every step consumes at least a byte, so it ends on any input.
struct AuthChallengeScanner {
    private struct Draft {
        var scheme: String
        var parameters: [String: String] = [:]
        var token68: String?
        var isBroken = false
    }

    private let bytes: [UInt8]
    /// Whether more bytes followed that are not read.
    private let isCut: Bool
    private var position = 0

    init(bytes: [UInt8], isCut: Bool) {
        self.bytes = bytes
        self.isCut = isCut
    }

    /// The well-formed challenges of the line, at most `limit`.
    mutating func run(limit: Int) -> [AuthChallenge] {
        var challenges: [AuthChallenge] = []
        var draft: Draft?
        func finish(_ draft: Draft?) {
            guard let draft, !draft.isBroken, challenges.count < limit else { return }
            challenges.append(
                AuthChallenge(scheme: draft.scheme, parameters: draft.parameters, token68: draft.token68)
            )
        }
        while challenges.count < limit {
            skip { $0.isBlank || $0 == UInt8(ascii: ",") }
            guard position < bytes.count else { break }
            let token = takeToken()
            if token.isEmpty {
                draft?.isBroken = true
                skipElement()
            } else if takeEqualsSign() {
                let value = takeValue()
                let isFirst = draft?.parameters[token.lowercasedASCII] == nil
                if let value {
                    if isFirst { draft?.parameters[token.lowercasedASCII] = value }
                } else {
                    draft?.isBroken = true
                }
            } else {
                finish(draft)
                draft = Draft(scheme: token.lowercasedASCII, token68: takeToken68())
            }
        }
        if isCut { draft?.isBroken = true }
        finish(draft)
        return challenges
    }

    private mutating func skip(while condition: (UInt8) -> Bool) {
        while position < bytes.count, condition(bytes[position]) { position += 1 }
    }

    private mutating func take(while condition: (UInt8) -> Bool) -> String {
        let start = position
        skip(while: condition)
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func takeToken() -> String { take(while: \.isTokenCharacter) }

    /// Consumes `=` with the blanks around it, or nothing.
    private mutating func takeEqualsSign() -> Bool {
        let start = position
        skip(while: \.isBlank)
        guard position < bytes.count, bytes[position] == UInt8(ascii: "=") else {
            position = start
            return false
        }
        position += 1
        skip(while: \.isBlank)
        return true
    }

    /// The token68 after a scheme, or nil with nothing consumed when something else follows: it has to be followed
    /// by a comma or the end, which tells `Negotiate YWI=` from `Basic realm=x`.
    private mutating func takeToken68() -> String? {
        let start = position
        skip(while: \.isBlank)
        var text = take {
            $0.isUnreserved || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "/")
        }
        guard position > start, !text.isEmpty else {
            position = start
            return nil
        }
        text += take { $0 == UInt8(ascii: "=") }
        let end = position
        skip(while: \.isBlank)
        guard position == bytes.count || bytes[position] == UInt8(ascii: ",") else {
            position = start
            return nil
        }
        position = end
        return text
    }

    /// A token or the text of a quoted string; nil when the string is not closed or has a control character.
    private mutating func takeValue() -> String? {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { return takeToken() }
        position += 1
        var text: [UInt8] = []
        var isBroken = false
        while position < bytes.count {
            var byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return isBroken ? nil : String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\") {
                guard position < bytes.count else { break }
                byte = bytes[position]
                position += 1
            }
            if byte.isControl, byte != UInt8(ascii: "\t") { isBroken = true }
            text.append(byte)
        }
        return nil
    }

    /// Skips to the next comma outside quotes.
    private mutating func skipElement() {
        while position < bytes.count, bytes[position] != UInt8(ascii: ",") {
            if bytes[position] == UInt8(ascii: "\"") {
                _ = takeValue()
            } else {
                position += 1
            }
        }
    }
}
