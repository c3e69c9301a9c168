// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What happened, in order, told from several tasks.
package final class Journal<Entry: Sendable>: Sendable {
    private let log = Mutex<[Entry]>([])

    package init() {}

    package var entries: [Entry] { log.withLock { $0 } }

    package func note(_ entry: Entry) { log.withLock { $0.append(entry) } }
}
