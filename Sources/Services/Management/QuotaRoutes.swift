// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Metadata
import Models
import Postgres

/// Limits of organizations, in the model's words: what is written as `threshold_percent` is read as `limit_percent`.
struct QuotaRoutes: Sendable {
    let client: PostgresClient
    let access: OrganizationAccess
    let isEnabled: Bool
    private let store = QuotaStore()

    init(client: PostgresClient, access: OrganizationAccess, isEnabled: Bool) {
        self.client = client
        self.access = access
        self.isEnabled = isEnabled
    }

    private static let path = "organization/{orgname}/quota"

    var operations: [Operation] {
        let amounts = [
            Schema.may("limit_bytes", .integer(1...Int64.max)),
            Schema.may("limit", .text(1...32), "In place of limit_bytes: a number and a unit, such as 10GiB."),
        ]
        let threshold = [
            Schema.has("type", .text(1...16), "Warning or Reject."), Schema.has("threshold_percent", .integer(1...100)),
        ]
        return [
            Operation(
                .get,
                "organization/{orgname}/usage",
                "getUsage",
                "What the organization uses, each blob and manifest once.",
                .organization(.member),
                .ok(Self.usage),
                usage
            ),
            Operation(
                .get,
                Self.path,
                "listQuotas",
                "The organization's quota, in a list of one or none.",
                .organization(.member),
                .ok(.list(.object(Self.view))),
                list
            ),
            Operation(
                .post,
                Self.path,
                "createQuota",
                "Give an organization a quota.",
                .superuser,
                body: amounts,
                .says("Created", .created),
                create
            ),
            Operation(
                .get,
                Self.path + "/{quota_id}",
                "getQuota",
                "The quota.",
                .organization(.member),
                .ok(Self.view)
            ) { call in try APIReply.json(View(try await quota(call).1)) },
            Operation(
                .put,
                Self.path + "/{quota_id}",
                "changeQuota",
                "Change its size.",
                .superuser,
                body: amounts,
                .ok(Self.view),
                change
            ),
            Operation(
                .delete,
                Self.path + "/{quota_id}",
                "deleteQuota",
                "Take the quota and its limits away.",
                .superuser,
                .noContent,
                delete
            ),
            Operation(
                .get,
                Self.path + "/{quota_id}/limit",
                "listQuotaLimits",
                "Thresholds of the quota.",
                .organization(.member),
                .ok(.list(.object(Self.limit)))
            ) { call in try APIReply.json(try await quota(call).1.thresholds.map(Limit.init)) },
            Operation(
                .post,
                Self.path + "/{quota_id}/limit",
                "createQuotaLimit",
                "Add a threshold.",
                .superuser,
                body: threshold,
                .says("Created", .created),
                createLimit
            ),
            Operation(
                .get,
                Self.path + "/{quota_id}/limit/{limit_id}",
                "getQuotaLimit",
                "A threshold.",
                .organization(.member),
                .ok(Self.limit)
            ) { call in try APIReply.json(Limit(try await limit(call).2)) },
            Operation(
                .put,
                Self.path + "/{quota_id}/limit/{limit_id}",
                "changeQuotaLimit",
                "Change a threshold.",
                .superuser,
                body: threshold,
                .ok(Self.view),
                changeLimit
            ),
            Operation(
                .delete,
                Self.path + "/{quota_id}/limit/{limit_id}",
                "deleteQuotaLimit",
                "Take a threshold away.",
                .superuser,
                .noContent,
                deleteLimit
            ),
        ]
    }

    // MARK: - Views

    private static let limit = [
        Schema.has("id", .natural), Schema.has("type", .choice(QuotaThreshold.Kind.allCases.map(\.rawValue))),
        Schema.has("limit_percent", .integer(1...100)),
    ]
    static let view = [
        Schema.has("id", .natural), Schema.has("limit_bytes", .natural), Schema.has("limit", .text()),
        Schema.has("default_config", .flag), Schema.has("limits", .list(.object(limit), maximum: 200)),
        Schema.has("default_config_exists", .flag),
    ]
    static let report = [
        Schema.has("quota_bytes", .natural, "Live bytes: what the limit is compared with."),
        Schema.has("configured_quota", .nullable(.natural)),
        Schema.has("running_backfill", .choice(["", "waiting", "running", "complete"])),
        Schema.has("backfill_status", .choice(["", "waiting", "running", "complete"])),
    ]

    private static let usage = [
        Schema.has("limit_bytes", .nullable(.natural)),
        Schema.has("used_bytes", .integer(Int64.min...Int64.max), "Live and here."),
        Schema.has("reserved_bytes", .integer(Int64.min...Int64.max), "Live, and not here yet."),
        Schema.has("reclaimable_bytes", .integer(Int64.min...Int64.max), "Here, and not live any more."),
        Schema.has("physical_bytes", .integer(Int64.min...Int64.max), "Here."),
        Schema.has("live_bytes", .integer(Int64.min...Int64.max), "What the limit is compared with."),
        Schema.has("keeps_pruned", .flag, "Whether the time machine remembers pruned tags."),
    ]

    private struct UsageView: Encodable {
        @Nullable var limit_bytes: Int64?
        let used_bytes: Int64
        let reserved_bytes: Int64
        let reclaimable_bytes: Int64
        let physical_bytes: Int64
        let live_bytes: Int64
        let keeps_pruned: Bool
    }

    struct Limit: Encodable {
        let id: Int64
        let type: String
        let limit_percent: Int

        init(_ threshold: QuotaThreshold) {
            id = threshold.id.rawValue
            type = threshold.kind.rawValue
            limit_percent = threshold.percent
        }
    }

    struct View: Encodable {
        let id: Int64
        let limit_bytes: Int64
        let limit: String
        let default_config = false
        let limits: [Limit]
        let default_config_exists = false

        init(_ quota: Quota) {
            id = quota.id.rawValue
            limit_bytes = quota.limitBytes
            limit = ByteAmount.text(quota.limitBytes)
            limits = quota.thresholds.map(Limit.init)
        }
    }

    struct Report: Encodable {
        let quota_bytes: Int64
        @Nullable var configured_quota: Int64?
        // Usage is counted as it changes: nothing is ever computed afterwards.
        let running_backfill = "complete"
        let backfill_status = "complete"
    }

    static func report(_ quota: Quota?, of organization: Organization, on client: PostgresClient) async throws -> Report
    {
        let usage = try await UsageStore().usage(of: organization.id, on: client)
        return Report(quota_bytes: usage.liveBytes, configured_quota: quota?.limitBytes)
    }

    // MARK: - Operations

    private func organization(_ call: Call) throws -> Organization {
        guard isEnabled else { throw APIError.notFound("quotas are off (FEATURE_QUOTA_MANAGEMENT)") }
        return try call.organization
    }

    private func usage(_ call: Call) async throws -> Response {
        let organization = try call.organization.id
        let usage = try await UsageStore().usage(of: organization, on: client)
        return try APIReply.json(
            UsageView(
                limit_bytes: try await store.find(of: organization, on: client)?.limitBytes,
                used_bytes: usage.usedBytes,
                reserved_bytes: usage.reservedBytes,
                reclaimable_bytes: usage.reclaimableBytes,
                physical_bytes: usage.physicalBytes,
                live_bytes: usage.liveBytes,
                keeps_pruned: try await LifetimeStore().keepsPruned(organization, on: client)
            )
        )
    }

    private func quota(_ call: Call) async throws -> (Organization, Quota) {
        let organization = try organization(call)
        guard let quota = try await store.find(of: organization.id, on: client),
            try quota.id.rawValue == call.number("quota_id")
        else { throw APIError.notFound("the organization has no such quota") }
        return (organization, quota)
    }

    private func limit(_ call: Call) async throws -> (Organization, Quota, QuotaThreshold) {
        let (organization, quota) = try await quota(call)
        let id = try call.number("limit_id")
        guard let threshold = quota.thresholds.first(where: { $0.id.rawValue == id }) else {
            throw APIError.notFound("the quota has no such limit")
        }
        return (organization, quota, threshold)
    }

    private func list(_ call: Call) async throws -> Response {
        let organization = try organization(call)
        let quota = try await store.find(of: organization.id, on: client)
        return try APIReply.json(quota.map { [View($0)] } ?? [])
    }

    private static func amount(_ fields: Fields) throws -> Int64 {
        switch (fields.integer("limit_bytes"), fields.text("limit")) {
        case (let bytes?, nil): return bytes
        case (nil, let text?):
            guard let bytes = ByteAmount.parse(text), bytes > 0 else {
                throw APIError.invalid("Invalid limit format, use a number followed by a unit (e.g. 1GiB)")
            }
            return bytes
        case (nil, nil): throw APIError.invalid("limit_bytes: is needed, or limit")
        default: throw APIError.invalid("limit: can't be given beside limit_bytes")
        }
    }

    private func create(_ call: Call) async throws -> Response {
        let organization = try organization(call)
        let bytes = try Self.amount(call.body)
        guard try await store.create(limitBytes: bytes, of: organization.id, on: client) else {
            throw APIError.invalid("Organization quota for '\(organization.name)' already exists")
        }
        try await access.changed(organization, .createQuota, call.context, facts: ["limit": "\(bytes)"])
        return try APIReply.json("Created", status: .created)
    }

    private func change(_ call: Call) async throws -> Response {
        let (organization, quota) = try await quota(call)
        let bytes = try Self.amount(call.body)
        try await store.setLimit(bytes, of: quota.id, on: client)
        try await access.changed(organization, .changeQuota, call.context, facts: ["limit": "\(bytes)"])
        return try await shown(organization)
    }

    private func delete(_ call: Call) async throws -> Response {
        let (organization, quota) = try await quota(call)
        try await store.delete(quota.id, on: client)
        try await access.changed(organization, .deleteQuota, call.context)
        return Response(status: .noContent)
    }

    private static func threshold(_ fields: Fields) throws -> (QuotaThreshold.Kind, Int, [String: String]) {
        guard let kind = QuotaThreshold.Kind(text: fields.text("type") ?? "") else {
            throw APIError.invalid("type: expected Warning or Reject")
        }
        let percent = Int(fields.integer("threshold_percent") ?? 0)
        return (kind, percent, ["type": kind.rawValue, "threshold_percent": "\(percent)"])
    }

    private func createLimit(_ call: Call) async throws -> Response {
        let (organization, quota) = try await quota(call)
        let (kind, percent, facts) = try Self.threshold(call.body)
        guard try await store.addThreshold(kind, percent: percent, to: quota.id, on: client) else {
            throw APIError.invalid("Quota limit already exists")
        }
        try await access.changed(organization, .createQuotaLimit, call.context, facts: facts)
        return try APIReply.json("Created", status: .created)
    }

    private func changeLimit(_ call: Call) async throws -> Response {
        let (organization, _, threshold) = try await limit(call)
        let (kind, percent, facts) = try Self.threshold(call.body)
        guard try await store.changeThreshold(threshold.id, kind: kind, percent: percent, on: client) else {
            throw APIError.invalid("Quota limit already exists")
        }
        try await access.changed(organization, .changeQuotaLimit, call.context, facts: facts)
        return try await shown(organization)
    }

    private func deleteLimit(_ call: Call) async throws -> Response {
        let (organization, _, threshold) = try await limit(call)
        try await store.deleteThreshold(threshold.id, on: client)
        try await access.changed(organization, .deleteQuotaLimit, call.context)
        return Response(status: .noContent)
    }

    private func shown(_ organization: Organization) async throws -> Response {
        guard let quota = try await store.find(of: organization.id, on: client) else {
            throw APIError.notFound("the organization has no such quota")
        }
        return try APIReply.json(View(quota))
    }
}
