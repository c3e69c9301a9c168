// SPDX-License-Identifier: Apache-2.0

/// A stretch of a representation: never empty, and inside it when it came from ``ByteRange``.
package struct ByteSlice: Hashable, Sendable {
    /// First byte, counted from 0.
    package let offset: Int64
    /// Number of bytes.
    package let length: Int64

    /// Takes the fields as they are.
    package init(offset: Int64, length: Int64) {
        self.offset = offset
        self.length = length
    }

    /// `Content-Range` of a 206 that carries this slice of a representation of `size` bytes
    /// (RFC 9110 section 14.4): `bytes 0-499/2048`.
    package func contentRange(size: Int64) -> String {
        "bytes \(offset)-\(offset.addingSaturating(length).addingSaturating(-1))/\(size)"
    }
}

extension Int64 {
    /// The sum, or the nearest number that there is.
    func addingSaturating(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        guard overflow else { return sum }
        return other > 0 ? .max : .min
    }
}
