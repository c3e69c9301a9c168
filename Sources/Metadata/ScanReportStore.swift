// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Models
package import OCI
package import Postgres

/// Reports of the scanner, and what follows from them for those who pull and look.
package struct ScanReportStore: Sendable {
    package init() {}

    /// Takes the place of the image's earlier report.
    /// - Parameter report: as the scanner sent it
    package func store(
        _ report: String,
        _ summary: ScanSummary,
        of manifest: ManifestID,
        on transaction: some Queryable
    ) async throws {
        let worst = try summary.worstFixable.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
        try await transaction.query(
            """
            INSERT INTO scan_report (manifest_id, packages, counts, fixable, worst_fixable, report)
            SELECT manifest_id, \(summary.packages), \(summary.counts)::integer[], \(summary.fixable)::integer[],
                \(worst)::jsonb, \(report)
            FROM manifest_scan WHERE manifest_id = \(manifest.rawValue)
            ON CONFLICT (manifest_id) DO UPDATE SET
                fetched_at = now(), packages = excluded.packages, counts = excluded.counts, fixable = excluded.fixable,
                worst_fixable = excluded.worst_fixable, report = excluded.report
            """
        )
    }

    /// What is known of an image of a repository; nil when this repository hasn't its manifest.
    package func find(
        _ digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> ImageScan? {
        try await db.query(
            """
            SELECT m.kind, s.state, s.reason, extract(epoch FROM p.fetched_at)::float8, p.packages, p.counts::text[],
                p.fixable::text[], p.worst_fixable::text, p.report
            FROM repository r
            JOIN repository_manifest rm ON rm.repository_id = r.id
            JOIN manifest m ON m.id = rm.manifest_id
            LEFT JOIN manifest_scan s ON s.manifest_id = m.id
            LEFT JOIN scan_report p ON p.manifest_id = m.id
            WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                AND m.digest = \(digest.rawValue)
            """
        ).first.map { row in
            let (kind, state, reason, fetchedAt, packages, counts, fixable, worst, report) = try row.decode(
                (String, String?, String?, Double?, Int?, [String]?, [String]?, String?, String?).self
            )
            return ImageScan(
                kind: try parsed(kind, "kind"),
                state: try state.map { try parsed($0, "state") },
                reason: reason,
                reportedAt: fetchedAt.map { Date(timeIntervalSince1970: $0) },
                summary: try Self.summary(packages, counts, fixable, worst),
                report: report
            )
        }
    }

    /// What decides whether a manifest is served; nil for one that is gone.
    package func standing(of manifest: ManifestID, on db: some Queryable) async throws -> ScanStanding? {
        try await db.query(
            """
            SELECT m.kind, s.state, p.manifest_id IS NOT NULL, p.worst_fixable::text
            FROM manifest m
            LEFT JOIN manifest_scan s ON s.manifest_id = m.id
            LEFT JOIN scan_report p ON p.manifest_id = m.id
            WHERE m.id = \(manifest.rawValue)
            """
        ).first.map { row in
            let (kind, state, hasReport, worst) = try row.decode((String, String?, Bool, String?).self)
            return ScanStanding(
                kind: try parsed(kind, "kind"),
                state: try state.map { try parsed($0, "state") },
                hasReport: hasReport,
                worstFixable: try worst.map { try decoded($0, "worst_fixable") }
            )
        }
    }

    /// What there is to say of a repository's manifests in a line each, by digest. An index is as bad as the worst of its
    /// children that the repository has: their sum would count each package once per platform.
    package func summaries(
        of digests: [String],
        repository: RepositoryName,
        organization: OrganizationID,
        on db: some Queryable
    ) async throws -> [String: ScanLine] {
        guard !digests.isEmpty else { return [:] }
        let rows = try await db.query(
            """
            WITH asked AS (
                SELECT m.id, m.digest, m.kind, rm.repository_id
                FROM repository r
                JOIN repository_manifest rm ON rm.repository_id = r.id
                JOIN manifest m ON m.id = rm.manifest_id
                WHERE r.organization_id = \(organization.rawValue) AND r.name = \(repository.rawValue)
                    AND m.digest = ANY(\(digests)::text[])
            ), member AS (
                SELECT digest AS asked, id AS manifest_id, kind FROM asked WHERE kind <> 'index'
                UNION ALL
                SELECT a.digest, m.id, m.kind
                FROM asked a
                JOIN manifest_child c ON c.parent_id = a.id
                JOIN manifest m ON m.digest = c.digest AND m.kind = 'image'
                JOIN repository_manifest rm ON rm.repository_id = a.repository_id AND rm.manifest_id = m.id
            )
            SELECT member.asked, member.kind, s.state, p.packages, p.counts::text[], p.fixable::text[],
                p.worst_fixable::text
            FROM member
            LEFT JOIN manifest_scan s ON s.manifest_id = member.manifest_id
            LEFT JOIN scan_report p ON p.manifest_id = member.manifest_id
            """
        )
        var lines: [String: ScanLine] = [:]
        for row in rows {
            let (digest, kind, state, packages, counts, fixable, worst) = try row.decode(
                (String, String, String?, Int?, [String]?, [String]?, String?).self
            )
            let line = ScanLine(
                kind: try parsed(kind, "kind"),
                state: try state.map { try parsed($0, "state") },
                summary: try Self.summary(packages, counts, fixable, worst)
            )
            lines[digest] = lines[digest].map { $0.isWorse(than: line) ? $0 : line } ?? line
        }
        return lines
    }

    /// How many images are in which state, and when the scanner was last seen.
    package func overview(on db: some Queryable) async throws -> ScanOverview {
        let counts = try await db.query("SELECT state, count(*) FROM manifest_scan GROUP BY state")
            .decode((String, Int).self)
        let waiting = try await db.query(
            """
            SELECT (SELECT count(*) FROM manifest_scan WHERE due_at <= now()),
                (SELECT count(*) FROM scan_notification WHERE finished_at IS NULL),
                (SELECT count(*) FROM scan_deletion)
            """
        ).decodeFirst((Int, Int, Int).self)
        let scanner = try await db.query(
            "SELECT index_state, extract(epoch FROM now() - seen_at)::float8 FROM scanner"
        ).decodeFirst((String, Double).self)
        return ScanOverview(
            images: Dictionary(
                try counts.map { (try parsed($0.0, "state") as ScanState, $0.1) },
                uniquingKeysWith: +
            ),
            due: waiting?.0 ?? 0,
            openNotifications: waiting?.1 ?? 0,
            openDeletions: waiting?.2 ?? 0,
            indexState: scanner?.0,
            sinceSeen: scanner.map { .seconds(max(0, $0.1)) }
        )
    }

    private static func summary(
        _ packages: Int?,
        _ counts: [String]?,
        _ fixable: [String]?,
        _ worst: String?
    ) throws -> ScanSummary? {
        guard let packages, let counts, let fixable else { return nil }
        return ScanSummary(
            packages: packages,
            counts: counts.compactMap(Int.init),
            fixable: fixable.compactMap(Int.init),
            worstFixable: try worst.map { try decoded($0, "worst_fixable") }
        )
    }
}
