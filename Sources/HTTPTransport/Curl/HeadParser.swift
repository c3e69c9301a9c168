// SPDX-License-Identifier: Apache-2.0

import HTTPTypes

/// Collects the header lines that curl hands out one by one. Interim responses (1xx) are passed over.
struct HeadParser {
    private let maximumBytes: Int
    private var bytes = 0
    private var status: Int?
    private var version = ""
    private var headers = HTTPFields()

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Returns the head once its final, empty line has come.
    /// Throws ``HTTPTransportError`` `headerTooLarge` or `protocolError`.
    mutating func append(
        _ line: UnsafeRawBufferPointer,
        peer: @autoclosure () -> String?
    ) throws(HTTPTransportError) -> HTTPTransportHead? {
        bytes += line.count
        guard bytes <= maximumBytes else {
            throw HTTPTransportError(.headerTooLarge, "the response's header is larger than \(maximumBytes) bytes")
        }
        var text = Substring(String(decoding: line, as: UTF8.self))
        while let last = text.unicodeScalars.last, last == "\r" || last == "\n" { text.unicodeScalars.removeLast() }
        if text.isEmpty { return finish(peer()) }
        if text.hasPrefix("HTTP/") {
            try begin(text)
        } else if let colon = text.firstIndex(of: ":"), let name = HTTPField.Name(String(text[..<colon])) {
            let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers.append(HTTPField(name: name, value: String(value)))
        }
        // A line that is no field is dropped, as clients do (RFC 9112 section 5.1 lets them).
        return nil
    }

    private mutating func begin(_ line: Substring) throws(HTTPTransportError) {
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, let status = Int(words[1]), (100...999).contains(status) else {
            throw HTTPTransportError(.protocolError, "the status line makes no sense")
        }
        self.status = status
        version = String(words[0])
        headers = HTTPFields()
    }

    private mutating func finish(_ peer: String?) -> HTTPTransportHead? {
        guard let status, status >= 200 else {
            self.status = nil
            return nil
        }
        return HTTPTransportHead(status: status, headers: headers, httpVersion: version, peerAddress: peer)
    }
}
