// SPDX-License-Identifier: Apache-2.0

import Collection
import Metadata
import ServiceRuntime

/// What an operator can set.
struct CollectorSettings {
    private static let interval = SettingKey(
        "GC_INTERVAL",
        kind: .duration,
        default: "10s",
        help: "between two runs of a collector"
    )
    private static let grace = SettingKey(
        "GC_GRACE",
        kind: .duration,
        default: "1h",
        help: "how long what nothing refers to stays, first in its repository, then in the storage"
    )
    private static let batch = SettingKey(
        "GC_BATCH",
        kind: .int,
        default: "100",
        help: "rows that a step of the collector takes in one transaction at most; fewer when that takes long"
    )
    private static let sweepInterval = SettingKey(
        "GC_SWEEP_INTERVAL",
        kind: .duration,
        default: "1h",
        help: "how often storage and database are compared, both ways"
    )
    private static let scrubRate = SettingKey(
        "SCRUB_MEGABYTES_PER_SECOND",
        kind: .int,
        default: "10",
        help: "how fast a collector reads stored blobs again to compare them with their digests; 0 for never"
    )
    private static let scrubInterval = SettingKey(
        "SCRUB_INTERVAL",
        kind: .duration,
        default: "7d",
        help: "how long a blob that was found right is left alone"
    )

    static let keys = SharedSettings.keys + [interval, grace, batch, sweepInterval, scrubRate, scrubInterval]

    let blobDirectory: String
    var collection = CollectionService.Configuration()

    /// Throws a settings error that names the key.
    init(_ settings: SettingsReader) throws {
        blobDirectory = try settings.string(SharedSettings.blobDirectory)
        collection.limits.timeMachine = try settings.duration(SharedSettings.timeMachine)
        collection.limits.grace = try settings.duration(Self.grace)
        collection.limits.batch = try settings.int(Self.batch, in: 1...10_000)
        collection.interval = try settings.duration(Self.interval)
        collection.sweepInterval = try settings.duration(Self.sweepInterval)
        collection.scrubBytesPerSecond = try settings.int(Self.scrubRate, in: 0...100_000) * 1_000_000
        collection.scrubInterval = try settings.duration(Self.scrubInterval)
    }
}
