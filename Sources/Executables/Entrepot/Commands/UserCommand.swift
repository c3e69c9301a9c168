// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import ServiceRuntime

/// Accounts of people.
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Accounts of people.",
        subcommands: [List.self, Add.self, Password.self, Disable.self, Enable.self, Remove.self, Whoami.self]
    )

    static func path(_ name: String) -> String { APIClient.path("superuser", "users", name) }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List them.")

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Page: PagedList {
            struct Entry: Codable {
                let username: String
                let superUser: Bool
                let enabled: Bool
                let created: String
                let lastLogin: String?
            }

            let users: [Entry]
            let nextPage: String?
            var entries: [Entry] { users }
        }

        func run() async throws {
            try await api.list(
                "superuser/users",
                as: Page.self,
                json: json,
                ["ACCOUNT", "", "", "LAST LOGIN"]
            ) { user in
                [
                    user.username, user.superUser ? "superuser" : "", user.enabled ? "" : "disabled",
                    user.lastLogin ?? "-",
                ]
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make an account.")

        @Argument(help: "Its name.")
        var name: String

        @Option(help: "File with the password, - for standard input; one is made up and shown if it isn't given.")
        var passwordFile: String?

        @Flag(help: "It may do everything.")
        var superuser = false

        @OptionGroup var api: APIOptions

        private struct Wish: Encodable {
            let username: String
            let password: String?
            let superUser: Bool
        }

        private struct Made: Decodable {
            let password: String?
        }

        func run() async throws {
            try await api.run { client in
                let password = try passwordFile.map { try OwnFile.secret($0, option: "--password-file") }
                let made = try await client.change(
                    .post,
                    "superuser/users",
                    Wish(username: name, password: password, superUser: superuser),
                    as: Made.self
                )
                if let password = made.password { Console.write("password \(password)") }
            }
        }
    }

    struct Password: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give an account another password.")

        @Argument(help: "The account.")
        var name: String

        @Option(help: "File with the password; - for standard input.")
        var passwordFile: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let password = try OwnFile.secret(passwordFile, option: "--password-file")
                try await client.change(.put, UserCommand.path(name), ["password": password])
            }
        }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let an account, a robot's too, in no more.")

        @Argument(help: "The account.")
        var name: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { try await $0.change(.put, UserCommand.path(name), ["enabled": false]) }
        }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let an account in again.")

        @Argument(help: "The account.")
        var name: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { try await $0.change(.put, UserCommand.path(name), ["enabled": true]) }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove an account with its roles and tokens.")

        @Argument(help: "The account.")
        var name: String

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.delete(UserCommand.path(name)) } }
    }

    struct Whoami: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show as whom commands are run, as JSON.")

        @OptionGroup var api: APIOptions

        private struct View: Codable {
            struct Role: Codable {
                let name: String
                let role: String
            }

            let username: String
            let superUser: Bool
            let organizations: [Role]
        }

        func run() async throws {
            try await api.run { Console.write(try Command.json(try await $0.get("user", as: View.self))) }
        }
    }
}
