// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import ServiceRuntime

/// Accounts of programs.
struct RobotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "robot",
        abstract: "Accounts of programs, which may pull from one organization.",
        subcommands: [List.self, Token.self, Revoke.self, Remove.self]
    )

    /// Path of a robot named `ORGANIZATION+NAME`. Throws ``SettingsError`` for any other name.
    static func path(_ robot: String) throws -> String {
        let parts = robot.split(separator: "+", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw SettingsError("\(robot): expected ORGANIZATION+NAME") }
        return APIClient.path("organization", parts[0], "robots", parts[1])
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the robots of an organization.")

        @Argument(help: "The organization.")
        var organization: String

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Page: PagedList {
            struct Entry: Codable {
                let name: String
                let description: String
                let created: String
                let lastAccessed: String?
                let enabled: Bool
            }

            let robots: [Entry]
            let nextPage: String?
            var entries: [Entry] { robots }
        }

        func run() async throws {
            try await api.list(
                APIClient.path("organization", organization, "robots"),
                as: Page.self,
                json: json,
                ["ROBOT", "", "LAST USED"]
            ) { robot in [robot.name, robot.enabled ? "" : "disabled", robot.lastAccessed ?? "-"] }
        }
    }

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

        @OptionGroup var api: APIOptions

        private struct Wish: Encodable {
            var title: String?
            let expiresS: Int?
        }

        private struct Robot: Decodable {
            let token: String
        }

        private struct Made: Decodable {
            let uuid: String
            let tokenCode: String
        }

        func run() async throws {
            if let days, !(1...3_650).contains(days) {
                throw ValidationError("--days \(days): expected a number from 1 to 3650")
            }
            try await api.run { client in
                let name = "\(organization)+\(robot)"
                let path = try RobotCommand.path(name)
                let lifetime = days.map { $0 * 86_400 }
                let made: Made
                do {
                    made = try await client.change(
                        .post,
                        path + "/tokens",
                        Wish(title: "command line", expiresS: lifetime),
                        as: Made.self
                    )
                } catch let failure as APIFailure where failure.exitCode == ExitCode(3) {
                    // A robot begins with a token: it is this one.
                    let robot = try await client.change(.put, path, Wish(expiresS: lifetime), as: Robot.self)
                    let tokens = try await client.get(path + "/tokens", as: TokenList.self)
                    made = Made(uuid: tokens.tokens.first?.uuid ?? "", tokenCode: robot.token)
                }
                Console.write("name \(name)\ntoken \(made.tokenCode)\nid \(made.uuid)")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a robot's token worthless.")

        @Argument(help: "The robot: ORGANIZATION+NAME.")
        var robot: String

        @Argument(help: "The token's id.")
        var id: Int64

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { try await $0.delete(try RobotCommand.path(robot) + "/tokens/\(id)") }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a robot with its tokens.")

        @Argument(help: "The robot: ORGANIZATION+NAME.")
        var robot: String

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.delete(try RobotCommand.path(robot)) } }
    }
}

/// Tokens, without their secrets.
struct TokenList: Decodable {
    struct Token: Codable {
        let uuid: String
        let title: String
        let scopes: [String]
        let created: String
        let lastAccessed: String?
        let expiration: String?
    }

    let tokens: [Token]
}

/// One's own tokens.
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "One's own tokens, by which programs pull and manage.",
        subcommands: [List.self, Create.self, Revoke.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List them, without their secrets.")

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let list = try await client.get("user/apptoken", as: TokenList.self).tokens
                guard !json else { return Console.write(try Command.json(list)) }
                let rows = list.map {
                    [$0.uuid, $0.title, $0.scopes.joined(separator: ","), $0.lastAccessed ?? "-", $0.expiration ?? "-"]
                }
                Console.write(TextTable.text(["ID", "TITLE", "SCOPES", "LAST USED", "EXPIRES"], rows))
            }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make one, which is shown this once.")

        @Argument(help: "What it is for.")
        var title: String

        @Option(name: .customLong("scope"), help: "repo:read, org:admin; both if none is given. Repeatable.")
        var scopes: [String] = []

        @Option(help: "Days until it expires; none if not given.")
        var days: Int?

        @OptionGroup var api: APIOptions

        private struct Wish: Encodable {
            let title: String
            let scopes: [String]?
            let expiresS: Int?
        }

        private struct Made: Decodable {
            struct Token: Decodable {
                let uuid: String
                let tokenCode: String
                let expiration: String?
            }

            let token: Token
        }

        func run() async throws {
            if let days, !(1...3_650).contains(days) {
                throw ValidationError("--days \(days): expected a number from 1 to 3650")
            }
            try await api.run { client in
                let wish = Wish(
                    title: title,
                    scopes: scopes.isEmpty ? nil : scopes,
                    expiresS: days.map { $0 * 86_400 }
                )
                let made = try await client.change(.post, "user/apptoken", wish, as: Made.self)
                let end = made.token.expiration.map { "\nends \($0)" } ?? ""
                Console.write("token \(made.token.tokenCode)\nid \(made.token.uuid)\(end)")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make one worthless.")

        @Argument(help: "Its id.")
        var id: Int64

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.delete("user/apptoken/\(id)") } }
    }
}
