// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

@Suite("Access rules")
struct AccessRulesTests {
    private static let mine = OrganizationID(rawValue: 1)
    private static let other = OrganizationID(rawValue: 2)

    private func organization(_ id: OrganizationID, isPublic: Bool = false) throws -> Organization {
        Organization(id: id, name: try OrganizationName("org\(id)"), proxyCache: nil, isPublic: isPublic)
    }

    private func account(
        _ role: OrganizationRole? = nil,
        isSuperuser: Bool = false,
        isEnabled: Bool = true
    ) throws -> Account {
        Account(
            id: AccountID(rawValue: 1),
            kind: .user,
            name: try AccountName("somebody"),
            isSuperuser: isSuperuser,
            isEnabled: isEnabled,
            roles: role.map { [Self.mine: $0] } ?? [:]
        )
    }

    @Test("a private organization is for its members and superusers alone, a public one for everybody")
    func pulling() throws {
        let (mine, other) = (try organization(Self.mine), try organization(Self.other))
        for role in OrganizationRole.allCases {
            #expect(AccessRules.mayPull(try account(role), from: mine))
            #expect(!AccessRules.mayPull(try account(role), from: other))
            #expect(!AccessRules.mayPull(try account(role, isEnabled: false), from: mine))
        }
        #expect(!AccessRules.mayPull(nil, from: mine))
        #expect(!AccessRules.mayPull(try account(), from: mine))
        #expect(AccessRules.mayPull(try account(isSuperuser: true), from: other))
        #expect(!AccessRules.mayPull(try account(isSuperuser: true, isEnabled: false), from: other))
        #expect(AccessRules.mayPull(nil, from: try organization(Self.other, isPublic: true)))
    }

    @Test("a role holds what the ones before it hold")
    func order() throws {
        let mine = try organization(Self.mine)
        #expect(AccessRules.has(.reader, try account(.member), in: mine))
        #expect(!AccessRules.has(.admin, try account(.member), in: mine))
        #expect(AccessRules.has(.admin, try account(.admin), in: mine))
    }

    @Test("failures are forgiven first, then each one doubles the wait, up to a limit")
    func throttle() {
        #expect(ThrottleRules.block(afterFailures: 5, forgiven: 5) == .zero)
        #expect(ThrottleRules.block(afterFailures: 6, forgiven: 5) == .seconds(1))
        #expect(ThrottleRules.block(afterFailures: 9, forgiven: 5) == .seconds(8))
        #expect(ThrottleRules.block(afterFailures: 1_000_000, forgiven: 5) == ThrottleRules.longestBlock)
    }

    @Test(
        "names of people and robots are told apart, and others refused",
        arguments: [
            ("anna", true), ("team+ci", true), ("a", false), ("Anna", false), ("team+", false), ("+ci", false),
            ("a+b+c", false), ("an na", false), ("../x", false), ("team+ci/x", false),
        ]
    )
    func names(_ text: String, _ isName: Bool) { #expect((AccountName(rawValue: text) != nil) == isName) }
}
