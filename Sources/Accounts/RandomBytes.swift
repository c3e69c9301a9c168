// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Bytes that nobody can guess.
enum RandomBytes {
    static func make(_ count: Int) -> Data {
        // The system's generator, which is a cryptographic one on Linux (getrandom).
        Data((0..<count).map { _ in UInt8.random(in: .min ... .max) })
    }
}
