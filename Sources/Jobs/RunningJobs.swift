// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Waiting

/// The jobs that a processor has in its hands.
final class RunningJobs: Sendable {
    /// One running job's way of learning that its lease is lost.
    final class Slot: Sendable {
        private let wakeUp = WakeUp()
        private let revoked = Atomic(false)

        var isRevoked: Bool { revoked.load(ordering: .acquiring) }

        func revoke() {
            revoked.store(true, ordering: .releasing)
            wakeUp.wake()
        }

        /// Returns when the lease is lost or the task is cancelled.
        func untilRevoked() async {
            while !Task.isCancelled, !isRevoked {
                await wakeUp.wait()
            }
        }
    }

    private let slots = Mutex<[JobLease: Slot]>([:])

    var count: Int { slots.withLock { $0.count } }

    var leases: [JobLease] { slots.withLock { Array($0.keys) } }

    func contains(_ lease: JobLease) -> Bool { slots.withLock { $0[lease] != nil } }

    func add(_ lease: JobLease) -> Slot {
        let slot = Slot()
        slots.withLock { $0[lease] = slot }
        return slot
    }

    func remove(_ lease: JobLease) {
        _ = slots.withLock { $0.removeValue(forKey: lease) }
    }

    func revoke(_ leases: [JobLease]) {
        for slot in slots.withLock({ slots in leases.compactMap { slots[$0] } }) { slot.revoke() }
    }
}
