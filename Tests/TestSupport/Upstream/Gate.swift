// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Waiting

/// Where requests wait until a test lets them go on.
package final class Gate: Sendable {
    private let isOpen = StopFlag()
    private let count = Atomic(0)

    package init() {}

    /// How many have come so far.
    package var arrivals: Int { count.load(ordering: .relaxed) }

    package func open() { isOpen.set() }

    /// Returns when it is open, or when the task is cancelled: a test that fails before it opens the gate has to end, too.
    package func pass() async {
        count.add(1, ordering: .relaxed)
        await isOpen.wait()
    }
}
