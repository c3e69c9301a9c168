// SPDX-License-Identifier: Apache-2.0

/// The framing of a 206 with several ranges (RFC 9110 section 14.6): what goes before, between and after the slices.
///
/// The body is, for each part, its header and the bytes of its slice, then ``closing``; ``contentLength`` is its
/// exact length.
package struct MultipartByteRanges: Hashable, Sendable {
    /// One slice and what precedes its bytes.
    package struct Part: Hashable, Sendable {
        /// Boundary, `Content-Type`, `Content-Range` and the empty line.
        package let header: [UInt8]
        /// The bytes that follow.
        package let slice: ByteSlice
    }

    /// The parts, in the order of the body.
    package let parts: [Part]
    /// What follows the bytes of the last slice.
    package let closing: [UInt8]
    /// Value of the response's `Content-Type`.
    package let contentTypeHeader: String
    /// Length of the body in bytes.
    package let contentLength: Int64

    /// Frames `slices` of a representation of `size` bytes and type `contentType`.
    ///
    /// - Precondition: `boundary` has 1 to 70 letters, digits, `-` or `_` (RFC 2046 section 5.1.1 allows a few more).
    ///   The server makes it from random bits, never from a request.
    package init(boundary: String, slices: [ByteSlice], size: Int64, contentType: MediaType) {
        let bytes = boundary.utf8
        precondition(
            (1...70).contains(bytes.count)
                && bytes.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") },
            "A multipart boundary has 1 to 70 letters, digits, hyphens or underscores."
        )
        parts = slices.enumerated().map { index, slice in
            let lineBreak = index == 0 ? "" : "\r\n"
            let range = slice.contentRange(size: size)
            let text = "\(lineBreak)--\(boundary)\r\nContent-Type: \(contentType)\r\nContent-Range: \(range)\r\n\r\n"
            return Part(header: Array(text.utf8), slice: slice)
        }
        closing = Array("\r\n--\(boundary)--\r\n".utf8)
        contentTypeHeader = "multipart/byteranges; boundary=\(boundary)"
        contentLength = parts.reduce(Int64(closing.count)) { sum, part in
            sum.addingSaturating(Int64(part.header.count)).addingSaturating(part.slice.length)
        }
    }
}
