// SPDX-License-Identifier: Apache-2.0

/// What is fetched ahead, in words and bars (pure).
package enum WarmLines {
    private static let barWidth = 24

    /// One item while it is on its way: name, bar, amounts and rate, cut to the width.
    package static func progress(_ item: WarmItem, width: Int) -> String {
        let share = item.sizeBytes > 0 ? min(1, Double(item.storedBytes) / Double(item.sizeBytes)) : 0
        let filled = Int(share * Double(barWidth))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: barWidth - filled)
        var line = "\(padded(item.name, to: 21)) [\(bar)] \(Amount.bytes(item.storedBytes))"
        line += " of \(Amount.bytes(item.sizeBytes))"
        if item.bytesPerSecond > 0 { line += ", \(Amount.bytes(item.bytesPerSecond))/s" }
        return String(line.prefix(max(1, width)))
    }

    /// One item that has come to its end.
    package static func end(_ item: WarmItem) -> String {
        let what = "\(item.image): \(item.name)"
        return switch item.state {
        case .fetched: "\(what) fetched, \(Amount.bytes(item.sizeBytes))"
        case .present: "\(what) was here"
        case .failed(let reason): "\(what) failed: \(reason)"
        case .waiting, .arriving: "\(what) is on its way"
        }
    }

    /// What became of an image: one line, and one for each failure.
    package static func summary(_ result: WarmResult) -> [String] {
        let digest = result.digest.map { " \($0)" } ?? ""
        let seconds = Amount.duration(.seconds(result.seconds))
        let brought = "\(result.fetchedBlobs) of \(result.blobs) blobs fetched, \(Amount.bytes(result.fetchedBytes))"
        let state = result.complete ? "complete" : "incomplete"
        return ["\(result.image)\(digest): \(state), \(brought) in \(seconds)"]
            + result.failures.map { "\(result.image): \($0)" }
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
