// SPDX-License-Identifier: Apache-2.0

import Accounts
import ArgumentParser
import Foundation
import Jobs
import Logging
import Metadata
import Models
import Postgres
import ServiceRuntime
import Supervision

/// Who may pull from an organization.
struct OrganizationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "org",
        abstract: "Organizations and who may pull from them.",
        subcommands: [Access.self, Member.self]
    )

    enum Visibility: String, ExpressibleByArgument, CaseIterable {
        case `public`, `private`
    }

    struct Access: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say whether everybody may pull from an organization, or only who is a member of it."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "public or private.")
        var visibility: Visibility

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await AccountChange.run(database) { change in
                let organization = try await DatabaseOptions.organization(organization, on: change.client)
                let isPublic = visibility == .public
                try await OrganizationStore().setPublic(isPublic, organization.id, on: change.client)
                await change.notifier.notify(.organizations, [organization.name.rawValue])
                try await change.note(.changeVisibility, organization, ["visibility": visibility.rawValue])
            }
        }
    }

    enum Role: String, ExpressibleByArgument, CaseIterable {
        case reader, member, admin, none
    }

    struct Member: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give an account a role in an organization, or with `none` take it away."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "The account.")
        var account: String

        @Argument(help: "reader, member, admin or none.")
        var role: Role

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await AccountChange.run(database) { change in
                let organization = try await DatabaseOptions.organization(organization, on: change.client)
                let account = try await change.account(account)
                guard account.kind == .user else {
                    throw SettingsError("\(account.name) is a robot, which belongs to its organization")
                }
                try await AccountStore().setRole(
                    OrganizationRole(rawValue: role.rawValue),
                    of: account.id,
                    in: organization.id,
                    on: change.client
                )
                await change.changed(account.id)
                try await change.note(
                    .changeMember,
                    organization,
                    ["member": account.name.rawValue, "role": role.rawValue]
                )
            }
        }
    }
}

/// People.
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Accounts of people.",
        subcommands: [Add.self, Password.self, Disable.self, Enable.self]
    )

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make an account.")

        @Argument(help: "Its name.")
        var name: String

        @Option(help: "File with the password; - for standard input.")
        var passwordFile: String

        @Flag(help: "It may do everything.")
        var superuser = false

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await AccountChange.run(database) { change in
                let name = try AccountChange.name(name)
                guard name.robotOrganization == nil else { throw SettingsError("\(name) would be a robot's name") }
                let hash = try AccountChange.hash(passwordFile)
                let made = try await AccountStore().makeUser(
                    name,
                    passwordHash: hash,
                    isSuperuser: superuser,
                    on: change.client
                )
                guard made != nil else { throw SupervisionError("there is an account \(name) already") }
                try await change.note(.createUser, nil, ["username": name.rawValue, "superuser": "\(superuser)"])
            }
        }
    }

    struct Password: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give an account another password.")

        @Argument(help: "The account.")
        var name: String

        @Option(help: "File with the password; - for standard input.")
        var passwordFile: String

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await AccountChange.run(database) { change in
                let account = try await change.account(name)
                guard account.kind == .user else { throw SettingsError("\(account.name) is a robot: it has tokens") }
                let hash = try AccountChange.hash(passwordFile)
                try await AccountStore().setPassword(hash, of: account.id, on: change.client)
                await change.changed(account.id)
                try await change.note(.changePassword, nil, ["username": account.name.rawValue])
            }
        }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let an account, a robot's too, in no more.")

        @Argument(help: "The account.")
        var name: String

        @OptionGroup var database: DatabaseOptions

        func run() async throws { try await AccountChange.setEnabled(false, name, database) }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let an account in again.")

        @Argument(help: "The account.")
        var name: String

        @OptionGroup var database: DatabaseOptions

        func run() async throws { try await AccountChange.setEnabled(true, name, database) }
    }
}

/// Robots.
struct RobotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "robot",
        abstract: "Accounts of programs, which may pull from one organization.",
        subcommands: [Token.self, Revoke.self]
    )

    struct Token: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token of a robot, and the robot if need be. The token is shown this once."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "The robot's name behind ORGANIZATION+.")
        var robot: String

        @Option(help: "Days until it expires; none if not given.")
        var days: Int?

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            if let days, !(1...3_650).contains(days) {
                throw ValidationError("--days \(days): expected a number from 1 to 3650")
            }
            try await AccountChange.run(database) { change in
                let organization = try await DatabaseOptions.organization(organization, on: change.client)
                let name = try AccountChange.name("\(organization.name)+\(robot)")
                let accounts = AccountStore()
                _ = try await accounts.makeRobot(name, of: organization.id, description: "", on: change.client)
                let account = try await change.account(name.rawValue)
                let token = SecretToken()
                let id = try await AccessTokenStore().make(
                    "command line",
                    hash: token.hash,
                    scopes: [Authenticator.pullScope],
                    of: account.id,
                    lifetime: days.map { .seconds($0 * 86_400) },
                    on: change.client
                )
                await change.changed(account.id)
                try await change.note(.createRobotToken, organization, ["robot": name.rawValue, "token": "\(id)"])
                Console.write("name \(name)\ntoken \(token.text)\nid \(id)")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a robot's token worthless.")

        @Argument(help: "The robot: ORGANIZATION+NAME.")
        var robot: String

        @Argument(help: "The token's id.")
        var id: Int64

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await AccountChange.run(database) { change in
                let account = try await change.account(robot)
                let token = AccessTokenID(rawValue: id)
                guard try await AccessTokenStore().revoke(token, of: account.id, on: change.client) else {
                    throw SupervisionError("\(account.name) has no live token \(id)")
                }
                await change.changed(account.id)
                try await change.note(.revokeRobotToken, nil, ["robot": account.name.rawValue, "token": "\(id)"])
            }
        }
    }
}

/// What commands that change accounts share.
struct AccountChange {
    let client: PostgresClient
    let notifier: JobNotifier

    static func run(_ database: DatabaseOptions, _ body: (AccountChange) async throws -> Void) async throws {
        try await Command.run(name: "accounts", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            try await database.withClient(runtime) { client in
                try await body(
                    AccountChange(client: client, notifier: JobNotifier(client: client, logger: runtime.logger))
                )
            }
        }
    }

    static func setEnabled(_ isEnabled: Bool, _ name: String, _ database: DatabaseOptions) async throws {
        try await run(database) { change in
            let account = try await change.account(name)
            try await AccountStore().setEnabled(isEnabled, account.id, on: change.client)
            await change.changed(account.id)
            let kind: LogKind = isEnabled ? .enableUser : .disableUser
            try await change.note(kind, nil, ["username": account.name.rawValue])
        }
    }

    /// Writes the change into the log.
    func note(_ kind: LogKind, _ organization: Organization?, _ facts: [String: String]) async throws {
        let entry = LogEntry(kind, organization: organization, metadata: facts.merging(["by": "command line"]) { $1 })
        try await LogStore().append([entry], on: client)
    }

    /// Throws ``SettingsError`` for what is no name.
    static func name(_ text: String) throws -> AccountName {
        do { return try AccountName(text) } catch { throw SettingsError("\(error)") }
    }

    /// The hash of a password in a file, without its last line break.
    static func hash(_ path: String) throws -> String {
        let data =
            path == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: path)
        guard let data, var password = String(data: data, encoding: .utf8) else {
            throw SettingsError("--password-file \(path): can't be read")
        }
        if password.hasSuffix("\n") { password.removeLast() }
        guard PasswordHash.lengths.contains(password.utf8.count) else {
            throw SettingsError("--password-file \(path): a password has 8 to 1024 bytes")
        }
        return try PasswordHash(of: password).description
    }

    func account(_ text: String) async throws -> Account {
        guard let account = try await AccountStore().find(try Self.name(text), on: client) else {
            throw SettingsError("there is no account \(text)")
        }
        return account
    }

    /// Tells the frontends.
    func changed(_ account: AccountID) async { await notifier.notify(.accounts, [account.description]) }
}
