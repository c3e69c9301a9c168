// SPDX-License-Identifier: Apache-2.0

package import Tracing

/// A span's place in its trace, as it travels between processes (W3C Trace Context, section 3.2).
struct TraceContext: Hashable, Sendable {
    /// 16 bytes, not all zero.
    let traceID: TraceID
    /// 8 bytes, not all zero.
    let spanID: UInt64
    /// Whether the trace is recorded.
    let isSampled: Bool

    struct TraceID: Hashable, Sendable, CustomStringConvertible {
        let high: UInt64
        let low: UInt64

        var description: String { high.hexDigits + low.hexDigits }
    }

    init(traceID: TraceID, spanID: UInt64, isSampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.isSampled = isSampled
    }

    /// Nil for what isn't a `traceparent` of version 00, or of a later one that begins like it.
    init?(traceparent text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, let version = UInt64(hexDigits: parts[0], count: 2), version != 0xFF,
            version > 0 || parts.count == 4, parts[1].utf8.count == 32,
            let high = UInt64(hexDigits: parts[1].prefix(16), count: 16),
            let low = UInt64(hexDigits: parts[1].suffix(16), count: 16), high != 0 || low != 0,
            let spanID = UInt64(hexDigits: parts[2], count: 16), spanID != 0,
            let flags = UInt64(hexDigits: parts[3], count: 2)
        else { return nil }
        self.init(traceID: TraceID(high: high, low: low), spanID: spanID, isSampled: flags & 1 == 1)
    }

    var traceparent: String { "00-\(traceID)-\(spanID.hexDigits)-\(isSampled ? "01" : "00")" }
}

extension ServiceContext {
    private enum Key: ServiceContextKey {
        typealias Value = TraceContext
        static let nameOverride: String? = "trace"
    }

    /// The span that encloses what is being done; nil outside of any trace.
    var trace: TraceContext? {
        get { self[Key.self] }
        set { self[Key.self] = newValue }
    }

    /// What log lines name; nil where nothing is recorded.
    package var recordedTraceID: String? { trace.flatMap { $0.isSampled ? $0.traceID.description : nil } }
}

extension UInt64 {
    /// 16 lower-case hexadecimal digits.
    var hexDigits: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    /// Nil for anything but so many lower-case hexadecimal digits.
    fileprivate init?(hexDigits text: Substring, count: Int) {
        let isLowercase = { (byte: UInt8) in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
        guard text.utf8.count == count, text.utf8.allSatisfy(isLowercase) else { return nil }
        self.init(text, radix: 16)
    }
}
