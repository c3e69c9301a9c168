// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import Models
import OCI
package import Postgres

/// The log: written in batches, kept in one partition per day.
package struct LogStore: Sendable {
    /// What is read of the log.
    package struct Filter: Sendable {
        package var organization: OrganizationID?
        package var repository: String?
        package var kinds: [LogKind] = []
        package var account: String?
        package var outcomes: [PullOutcome] = []
        /// Not before.
        package var since: Date?
        /// Before.
        package var until: Date?
        /// Only older ones than this row of the page before.
        package var before: LogRecord.ID?
        package var limit = 100

        package init() {}
    }

    private static let maximumUserAgent = 256

    package init() {}

    /// Writes the entries in one statement: all of them, or none.
    package func append(_ entries: [LogEntry], on db: some Queryable) async throws {
        guard !entries.isEmpty else { return }
        var rows = CopyRows()
        for entry in entries { try Self.add(entry, to: &rows) }
        try await db.copy(
            rows,
            into: """
                log_entry (kind, organization_id, organization, repository, account, is_robot, address, user_agent,
                    metadata, tag, digest, media_type, is_head, outcome, status, upstream, bytes, duration_us)
                """
        )
    }

    private static func add(_ entry: LogEntry, to rows: inout CopyRows) throws {
        rows.add(entry.kind.rawValue)
        rows.add(entry.organization?.rawValue)
        rows.add(entry.organizationName)
        rows.add(entry.repository)
        rows.add(entry.account)
        rows.add(entry.account == nil ? nil : entry.isRobot)
        rows.add(entry.address)
        rows.add(entry.userAgent.map { String($0.prefix(maximumUserAgent)) })
        rows.add(
            entry.metadata.isEmpty ? nil : String(decoding: try JSONEncoder().encode(entry.metadata), as: UTF8.self)
        )
        let pull = entry.pull
        switch pull?.reference {
        case .tag(let tag)?:
            rows.add(tag.rawValue)
            rows.add(pull?.digest?.rawValue)
        case .digest(let digest)?:
            rows.add(String?.none)
            rows.add(digest.rawValue)
        case nil:
            rows.add(String?.none)
            rows.add(String?.none)
        }
        rows.add(pull?.mediaType?.rawValue)
        rows.add(pull?.isHead)
        rows.add(pull?.outcome.rawValue)
        rows.add(pull.flatMap { $0.status == 0 ? nil : $0.status })
        rows.add(pull?.upstream)
        rows.add(pull?.bytes)
        rows.add(pull.map { Int64($0.duration / .microseconds(1)) })
        rows.endRow()
    }

    /// Writes an entry for each of these lifetimes of tags, whose rows have to be there.
    package func append(_ kind: LogKind, ofLifetimes tags: [Int64], on db: some Queryable) async throws {
        guard !tags.isEmpty else { return }
        try await db.query(
            """
            INSERT INTO log_entry (kind, organization_id, organization, repository, tag, digest)
            SELECT \(kind.rawValue), o.id, o.name, r.name, t.name, m.digest
            FROM tag t JOIN repository r ON r.id = t.repository_id JOIN organization o ON o.id = r.organization_id
            JOIN manifest m ON m.id = t.manifest_id
            WHERE t.id = ANY(\(tags)::bigint[]) ORDER BY t.id
            """
        )
    }

    /// Newest first.
    package func read(_ filter: Filter, on db: some Queryable) async throws -> [LogRecord] {
        try await db.query(
            Self.query(
                """
                id, extract(epoch FROM at)::float8, kind, organization, repository, account, is_robot, address,
                user_agent, tag, digest, media_type, is_head, outcome, status, upstream, bytes, duration_us, metadata::text
                """,
                matching: filter,
                "ORDER BY at DESC, id DESC",
                limit: filter.limit
            )
        ).map { row in
            let (
                id, at, kind, organization, repository, account, isRobot, address, userAgent, tag, digest, mediaType,
                isHead, outcome, status, upstream, bytes, duration, metadata
            ) = try row.decode(
                (
                    Int64, Double, String, String?, String?, String?, Bool?, String?, String?, String?, String?,
                    String?,
                    Bool?, String?, Int?, String?, Int64?, Int64?, String?
                ).self
            )
            return LogRecord(
                id: id,
                at: at,
                kind: kind,
                organization: organization,
                repository: repository,
                account: account,
                isRobot: isRobot,
                address: address,
                userAgent: userAgent,
                tag: tag,
                digest: digest,
                mediaType: mediaType,
                isHead: isHead,
                outcome: outcome,
                status: status,
                upstream: upstream,
                bytes: bytes,
                durationUs: duration,
                metadata: try metadata.map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
            )
        }
    }

    /// How many entries of each kind there were on each day; the beginnings of days (UTC) in seconds since 1970.
    package func counts(
        _ filter: Filter,
        on db: some Queryable
    ) async throws -> [(kind: String, count: Int64, day: Double)] {
        var whole = filter
        whole.before = nil
        return try await db.query(
            Self.query(
                "kind, count(*), extract(epoch FROM date_trunc('day', at AT TIME ZONE 'UTC'))::float8 AS day",
                matching: whole,
                "GROUP BY kind, day ORDER BY day, kind"
            )
        ).decode((String, Int64, Double).self).map { (kind: $0.0, count: $0.1, day: $0.2) }
    }

    /// - Parameter limit: nil for all rows
    private static func query(
        _ columns: String,
        matching filter: Filter,
        _ ending: String,
        limit: Int? = nil
    ) -> Query {
        """
        SELECT \(unescaped: columns) FROM log_entry
        WHERE (\(filter.organization?.rawValue)::bigint IS NULL OR organization_id = \(filter.organization?.rawValue))
            AND (\(filter.repository)::text IS NULL OR repository = \(filter.repository))
            AND (\(filter.kinds.isEmpty) OR kind = ANY(\(filter.kinds.map(\.rawValue))::text[]))
            AND (\(filter.account)::text IS NULL OR account = \(filter.account))
            AND (\(filter.outcomes.isEmpty) OR outcome = ANY(\(filter.outcomes.map(\.rawValue))::text[]))
            AND (\(filter.since?.timeIntervalSince1970)::float8 IS NULL
                OR at >= to_timestamp(\(filter.since?.timeIntervalSince1970)))
            AND (\(filter.until?.timeIntervalSince1970)::float8 IS NULL
                OR at < to_timestamp(\(filter.until?.timeIntervalSince1970)))
            AND (\(filter.before?.at)::float8 IS NULL
                OR (at, id) < (to_timestamp(\(filter.before?.at)), \(filter.before?.id ?? 0)))
        \(unescaped: ending) LIMIT \(limit)
        """
    }
}

/// One line of the log, as it is read and exported.
package struct LogRecord: Sendable, Hashable, Codable {
    /// Place of a line: its time, in seconds since 1970, and its number.
    package struct ID: Sendable, Hashable {
        package let at: Double
        package let id: Int64

        package init(at: Double, id: Int64) {
            self.at = at
            self.id = id
        }
    }

    package let id: Int64
    package let at: Double
    package let kind: String
    package let organization: String?
    package let repository: String?
    package let account: String?
    package let isRobot: Bool?
    package let address: String?
    package let userAgent: String?
    package let tag: String?
    package let digest: String?
    package let mediaType: String?
    package let isHead: Bool?
    package let outcome: String?
    package let status: Int?
    package let upstream: String?
    package let bytes: Int64?
    package let durationUs: Int64?
    package let metadata: [String: String]?

    package var place: ID { ID(at: at, id: id) }
}
