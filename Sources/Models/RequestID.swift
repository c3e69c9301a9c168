// SPDX-License-Identifier: Apache-2.0

import Synchronization
package import Tracing

/// Names a client's request in the log lines of every process that had to do with it.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    private static let maximumBytes = 128

    /// The request that the current task serves, or does the work of; nil for work that nobody asked for.
    package static var current: RequestID? { ServiceContext.current?.requestID }

    package let rawValue: String

    /// Nil for text that isn't 1 to 128 letters, digits, and `-._:+/=`: it goes into lines and rows.
    package init?(_ text: String) {
        guard (1...Self.maximumBytes).contains(text.utf8.count),
            text.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: "-._:+/=".utf8.contains(byte)
                }
            })
        else { return nil }
        rawValue = text
    }

    /// 64 random bits of this process, and 64 that count on from others.
    package init() {
        let halves = (Self.process, Self.next.add(1, ordering: .relaxed).oldValue.bigEndian)
        rawValue = withUnsafeBytes(of: halves) { $0.hexadecimal }
    }

    private static let process = UInt64.random(in: .min ... .max)
    private static let next = Atomic(UInt64.random(in: 0 ... .max / 2))

    package var description: String { rawValue }
}

extension ServiceContext {
    private enum Key: ServiceContextKey {
        typealias Value = RequestID
        static let nameOverride: String? = "request.id"
    }

    /// The request that made what is being done.
    package var requestID: RequestID? {
        get { self[Key.self] }
        set { self[Key.self] = newValue }
    }
}
