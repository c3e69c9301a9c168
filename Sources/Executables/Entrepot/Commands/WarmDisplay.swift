// SPDX-License-Identifier: Apache-2.0

import Operations
import Synchronization

/// Shows images on their way.
protocol WarmDisplay: Sendable {
    func show(_ news: WarmNews)
    /// Nothing more will come.
    func finish()
}

/// For programs, which read the result.
struct SilentDisplay: WarmDisplay {
    func show(_ news: WarmNews) {}

    func finish() {}
}

/// A line for whatever has come to its end.
struct LineDisplay: WarmDisplay {
    func show(_ news: WarmNews) {
        switch news {
        case .note(let text): Console.write(text)
        case .item(let item): if item.state.isFinal { Console.write(WarmLines.end(item)) }
        }
    }

    func finish() {}
}

/// A bar for each item on its way, below the lines of those that have come to their ends.
final class BarDisplay: WarmDisplay {
    private struct State {
        var items: [WarmItem] = []
        /// Lines that the cursor stands below, to be drawn over.
        var drawn = 0
        var lastDrawing: ContinuousClock.Instant?
    }

    /// Bars are for eyes.
    private static let pause: Duration = .milliseconds(100)

    private let state = Mutex(State())

    func show(_ news: WarmNews) {
        state.withLock { state in
            switch news {
            case .note(let text): draw(&state, after: [text])
            case .item(let item):
                state.items.removeAll { $0.image == item.image && $0.digest == item.digest }
                if item.state.isFinal { return draw(&state, after: [WarmLines.end(item)]) }
                state.items.append(item)
                if let last = state.lastDrawing, ContinuousClock.now - last < Self.pause { return }
                draw(&state, after: [])
            }
        }
    }

    func finish() {
        state.withLock { state in
            state.items = []
            draw(&state, after: [])
        }
    }

    private func draw(_ state: inout State, after lines: [String]) {
        let size = Terminal.size
        // Those that move are worth seeing, should there be more than lines on the screen.
        let order = state.items.sorted { $0.storedBytes > 0 && $1.storedBytes == 0 }
        let bars = order.prefix(max(1, size.rows - 2)).map { WarmLines.progress($0, width: size.columns - 1) }
        Console.write(above: state.drawn, lines + bars)
        state.drawn = bars.count
        state.lastDrawing = .now
    }
}
