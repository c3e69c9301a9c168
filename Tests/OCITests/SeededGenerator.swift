// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: the same seed gives the same cases on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// One of `choices`, or the fallback when there is none.
    mutating func pick<Element>(_ choices: [Element], or fallback: Element) -> Element {
        choices.randomElement(using: &self) ?? fallback
    }

    /// `text` with a few bytes flipped, removed, doubled, or replaced by one of the `hostile` pieces.
    mutating func mutate(_ bytes: [UInt8], hostile: [String]) -> [UInt8] {
        var result = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let position = Int.random(in: 0...result.count, using: &self)
            switch Int.random(in: 0..<5, using: &self) {
            case 0 where position < result.count: result[position] = UInt8.random(in: 0...255, using: &self)
            case 1 where position < result.count: result.remove(at: position)
            case 2 where position < result.count:
                let end = min(result.count, position + Int.random(in: 1...8, using: &self))
                result.insert(contentsOf: result[position..<end], at: position)
            case 3: result.removeSubrange(position...)
            default: result.insert(contentsOf: pick(hostile, or: "").utf8, at: position)
            }
            if result.isEmpty { result = bytes }
        }
        return result
    }

    /// Same, as text; bytes that are not UTF-8 become U+FFFD.
    mutating func mutate(_ text: String, hostile: [String]) -> String {
        String(decoding: mutate(Array(text.utf8), hostile: hostile), as: UTF8.self)
    }
}
