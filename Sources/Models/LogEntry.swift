// SPDX-License-Identifier: Apache-2.0

package import OCI

/// What kind of thing happened, in the model's words.
package enum LogKind: String, Sendable, Hashable, Codable, CaseIterable {
    case pull = "pull_repo"
    case failedPull = "pull_repo_failed"
    case failedLogin = "login_failure"
    case createUser = "user_create"
    case changePassword = "user_change_password"
    case disableUser = "user_disable"
    case enableUser = "user_enable"
    case deleteUser = "user_delete"
    case createRobot = "create_robot"
    case deleteRobot = "delete_robot"
    case createToken = "create_app_specific_token"
    case revokeToken = "revoke_app_specific_token"
    case createRobotToken = "create_robot_token"
    case revokeRobotToken = "revoke_robot_token"
    case changeVisibility = "org_change_visibility"
    case changeMember = "org_change_member"
    case createOrganization = "org_create"
    case deleteOrganization = "org_delete"
    case changeTimeMachine = "org_change_tag_expiration"
    case createProxyCache = "create_proxy_cache_config"
    case changeProxyCache = "change_proxy_cache_config"
    case deleteProxyCache = "delete_proxy_cache_config"
    case changeCredentials = "change_proxy_cache_credentials"
    case createQuota = "org_create_quota"
    case changeQuota = "org_change_quota"
    case deleteQuota = "org_delete_quota"
    case createQuotaLimit = "org_create_quota_limit"
    case changeQuotaLimit = "org_change_quota_limit"
    case deleteQuotaLimit = "org_delete_quota_limit"
    case deleteRepository = "delete_repo"
    case deleteTag = "delete_tag"
    case restoreTag = "revert_tag"
    case changeTagExpiration = "change_tag_expiration"
    case pruneTag = "autoprune_tag_delete"
    case expireTag = "expire_tag"
    /// The time machine has let go.
    case forgetTag = "permanently_delete_tag"
    case collectGarbage = "garbage_collect"
    case pinTag = "pin_tag"
    case unpinTag = "unpin_tag"
    case changeUpstreamLimit = "change_upstream_limit"
    case changeScanPolicy = "org_change_scan_policy"
    case vulnerabilityFound = "vulnerability_found"
    case quotaWarning = "quota_warning"
    case quotaReject = "quota_error"
}

/// How a pull went.
package enum PullOutcome: String, Sendable, Hashable, Codable, CaseIterable {
    /// From the cache, without asking upstream.
    case hit
    /// From the cache, which upstream confirmed.
    case revalidated
    /// Fetched for this pull.
    case miss
    /// From the cache although upstream failed.
    case stale
    case error
}

/// One line of the log.
package struct LogEntry: Sendable, Hashable {
    package var kind: LogKind
    package var organization: OrganizationID?
    package var organizationName: String?
    package var repository: String?
    package var account: String?
    package var isRobot = false
    package var address: String?
    package var userAgent: String?
    /// Facts of anything but a pull.
    package var metadata: [String: String] = [:]
    package var pull: Pull?

    package struct Pull: Sendable, Hashable {
        package var reference: Reference
        /// Of what was served.
        package var digest: Digest?
        package var mediaType: MediaType?
        package var isHead: Bool
        package var outcome: PullOutcome
        package var status: Int
        package var upstream: String?
        package var bytes: Int64
        package var duration: Duration

        package init(
            reference: Reference,
            digest: Digest? = nil,
            mediaType: MediaType? = nil,
            isHead: Bool,
            outcome: PullOutcome,
            status: Int,
            upstream: String? = nil,
            bytes: Int64 = 0,
            duration: Duration
        ) {
            self.reference = reference
            self.digest = digest
            self.mediaType = mediaType
            self.isHead = isHead
            self.outcome = outcome
            self.status = status
            self.upstream = upstream
            self.bytes = bytes
            self.duration = duration
        }
    }

    package init(
        _ kind: LogKind,
        organization: Organization? = nil,
        repository: String? = nil,
        account: Account? = nil,
        address: String? = nil,
        userAgent: String? = nil,
        metadata: [String: String] = [:],
        pull: Pull? = nil
    ) {
        self.kind = kind
        self.organization = organization?.id
        self.organizationName = organization?.name.rawValue
        self.repository = repository
        self.account = account?.name.rawValue
        self.isRobot = account?.kind == .robot
        self.address = address
        self.userAgent = userAgent
        self.metadata = metadata
        self.pull = pull
    }
}
