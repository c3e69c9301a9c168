// SPDX-License-Identifier: Apache-2.0

import Crypto
import Models

/// One forward step of the schema, embedded in the binary.
package struct Migration: Sendable, Hashable {
    package let version: Int
    package let name: String
    package let sql: String
    /// The programs that can run once it is applied: those that know the migrations up to this one. Its own version, unless
    /// it says otherwise: then programs of before may go on while others are replaced by those that need it.
    ///
    /// A migration that only adds what older programs neither read nor have to write (tables, indexes, columns with a default
    /// or NULL) can say so. One that renames, removes or restricts can't: it is done in two releases.
    package let oldestProgram: Int

    /// - Parameter oldestProgram: nil for this one
    package init(version: Int, name: String, oldestProgram: Int? = nil, sql: String) {
        self.version = version
        self.name = name
        self.oldestProgram = oldestProgram ?? version
        self.sql = sql
    }

    /// SHA-256 of the SQL: an applied migration never changes.
    package var checksum: String { SHA256.hash(data: Array(sql.utf8)).hexadecimal }

    /// All migrations, in the order in which they are applied.
    package static let all: [Migration] = [
        Migration(version: 1, name: "initial", sql: text(PackageResources.V0001_initial_sql)),
        Migration(version: 2, name: "upstream truth", sql: text(PackageResources.V0002_upstream_truth_sql)),
        Migration(version: 3, name: "proxy settings", sql: text(PackageResources.V0003_proxy_settings_sql)),
        Migration(version: 4, name: "fetch progress", sql: text(PackageResources.V0004_fetch_progress_sql)),
        Migration(version: 5, name: "upstream lists", sql: text(PackageResources.V0005_upstream_lists_sql)),
        Migration(version: 6, name: "accounts", sql: text(PackageResources.V0006_accounts_sql)),
        Migration(version: 7, name: "log", sql: text(PackageResources.V0007_log_sql)),
        Migration(version: 8, name: "administration", sql: text(PackageResources.V0008_administration_sql)),
        Migration(version: 9, name: "usage", sql: text(PackageResources.V0009_usage_sql)),
        Migration(version: 10, name: "scan", sql: text(PackageResources.V0010_scan_sql)),
        Migration(version: 11, name: "collection", sql: text(PackageResources.V0011_collection_sql)),
        Migration(version: 12, name: "proof", sql: text(PackageResources.V0012_proof_sql)),
        Migration(version: 13, name: "log time", oldestProgram: 12, sql: text(PackageResources.V0013_log_time_sql)),
        Migration(
            version: 14,
            name: "claim by organization",
            oldestProgram: 12,
            sql: text(PackageResources.V0014_claim_by_organization_sql)
        ),
        Migration(
            version: 15,
            name: "known misses",
            oldestProgram: 12,
            sql: text(PackageResources.V0015_known_misses_sql)
        ),
        Migration(version: 16, name: "logins", oldestProgram: 12, sql: text(PackageResources.V0016_logins_sql)),
        Migration(
            version: 17,
            name: "old referrers",
            oldestProgram: 12,
            sql: text(PackageResources.V0017_old_referrers_sql)
        ),
        Migration(
            version: 18,
            name: "listed blobs",
            oldestProgram: 12,
            sql: text(PackageResources.V0018_listed_blobs_sql)
        ),
        Migration(
            version: 19,
            name: "token makers",
            oldestProgram: 12,
            sql: text(PackageResources.V0019_token_makers_sql)
        ),
    ]

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
