// SPDX-License-Identifier: Apache-2.0

import OCI

/// What a member may do in an organization; each may do what the ones before may.
package enum OrganizationRole: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
    /// Pull.
    case reader
    /// See how it is configured, and its logs.
    case member
    /// Change it.
    case admin

    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .reader: 0
        case .member: 1
        case .admin: 2
        }
    }
}

/// Somebody who can log in: a person, or a robot of an organization.
package struct Account: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case user, robot
    }

    package let id: AccountID
    package let kind: Kind
    package let name: AccountName
    package let isSuperuser: Bool
    package let isEnabled: Bool
    /// How often its password was changed.
    package let passwordGeneration: Int
    /// In seconds since 1970.
    package let createdAt: Double
    /// Role by organization; a robot is a reader of its own.
    package let roles: [OrganizationID: OrganizationRole]

    package init(
        id: AccountID,
        kind: Kind,
        name: AccountName,
        isSuperuser: Bool,
        isEnabled: Bool,
        passwordGeneration: Int = 0,
        createdAt: Double = 0,
        roles: [OrganizationID: OrganizationRole]
    ) {
        self.id = id
        self.kind = kind
        self.name = name
        self.isSuperuser = isSuperuser
        self.isEnabled = isEnabled
        self.passwordGeneration = passwordGeneration
        self.createdAt = createdAt
        self.roles = roles
    }
}

/// Name of an account: of a person one component of the repository name grammar, of a robot `ORGANIZATION+NAME`.
package struct AccountName: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String

    /// Throws ``ModelError`` that says what a name has to be.
    package init(_ text: String) throws(ModelError) {
        let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        let isName = parts.allSatisfy { part in
            part.utf8.count >= 2 && RepositoryName(rawValue: String(part))?.components.count == 1
        }
        guard isName else {
            throw ModelError(
                "account \"\(text.prefix(100))\": must be 2 to 255 lower-case letters, digits and inner separators (. _ -)"
                    + ", of a robot ORGANIZATION+NAME"
            )
        }
        self.rawValue = text
    }

    package init?(rawValue: String) {
        guard let name = try? Self(rawValue) else { return nil }  // a failable init says only yes or no
        self = name
    }

    /// Whose robot it would be; nil for a person's name.
    package var robotOrganization: OrganizationName? {
        rawValue.firstIndex(of: "+").flatMap { OrganizationName(rawValue: String(rawValue[..<$0])) }
    }

    package var description: String { rawValue }
}

/// Who may do what. Pure; decided by stored identity and roles, never by how somebody is called.
package enum AccessRules {
    /// - Parameter account: nil for somebody who hasn't logged in
    package static func mayPull(_ account: Account?, from organization: Organization) -> Bool {
        organization.isPublic || has(.reader, account, in: organization)
    }

    package static func has(_ role: OrganizationRole, _ account: Account?, in organization: Organization) -> Bool {
        guard let account, account.isEnabled else { return false }
        return account.isSuperuser || account.roles[organization.id].map { $0 >= role } == true
    }
}

/// How logins that fail are slowed down. Pure.
package enum ThrottleRules {
    /// Failures that are forgiven: people mistype, and many share one address.
    package static let forgiven = (account: 5, address: 25)
    /// A failure is forgotten after so long without another one.
    package static let memory: Duration = .seconds(900)
    package static let longestBlock: Duration = .seconds(300)

    /// How long the next try has to wait after so many failures in a row.
    package static func block(afterFailures failures: Int, forgiven: Int) -> Duration {
        guard failures > forgiven else { return .zero }
        return min(longestBlock, .seconds(1 << min(20, failures - forgiven - 1)))
    }
}
