// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Waiting

/// The jobs that a processor has in its hands; each has a flag that is set when its lease is lost.
final class RunningJobs: Sendable {
    private let flags = Mutex<[JobLease: StopFlag]>([:])
    private let areAwaited = Atomic(true)

    /// Whether somebody waits for the end of one of them.
    var isEndAwaited: Bool {
        get { areAwaited.load(ordering: .acquiring) }
        set { areAwaited.store(newValue, ordering: .releasing) }
    }

    var count: Int { flags.withLock { $0.count } }

    var leases: [JobLease] { flags.withLock { Array($0.keys) } }

    func contains(_ lease: JobLease) -> Bool { flags.withLock { $0[lease] != nil } }

    func add(_ lease: JobLease) -> StopFlag {
        let flag = StopFlag()
        flags.withLock { $0[lease] = flag }
        return flag
    }

    func remove(_ lease: JobLease) {
        _ = flags.withLock { $0.removeValue(forKey: lease) }
    }

    func revoke(_ leases: [JobLease]) {
        for flag in flags.withLock({ flags in leases.compactMap { flags[$0] } }) { flag.set() }
    }
}
