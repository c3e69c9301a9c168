// SPDX-License-Identifier: Apache-2.0

/// How many rows a step takes at once. What a row costs differs by the step, by the image, and by what else the database
/// does: a batch that took long is followed by a smaller one, so that nobody waits for its locks.
struct Pace {
    /// Twice as long is too long.
    private static let aim: Duration = .milliseconds(10)
    private static let first = 4

    private let maximum: Int
    private(set) var size: Int

    init(maximum: Int) {
        self.maximum = maximum
        size = min(Self.first, maximum)
    }

    /// - Parameter duration: of a batch of the present size
    mutating func note(_ duration: Duration) {
        if duration > Self.aim * 2 {
            size = max(1, size / 2)
        } else if duration < Self.aim {
            size = min(maximum, size * 2)
        }
    }
}
