// SPDX-License-Identifier: Apache-2.0

/// What a `Range` header asks for, given the size of the representation (RFC 9110 section 14).
package enum RangeResolution: Hashable, Sendable {
    /// Answer 200 with everything: there is no range, or none that has to be honoured.
    case whole
    /// Answer 206 with these slices, in this order; more than one means `multipart/byteranges`.
    case satisfiable([ByteSlice])
    /// Answer 416 with `Content-Range: bytes */size`.
    case unsatisfiable
}
