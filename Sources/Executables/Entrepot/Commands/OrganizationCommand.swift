// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import Operations
import ServiceRuntime

/// Organizations and who may do what in them.
struct OrganizationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "org",
        abstract: "Organizations and who may do what in them.",
        subcommands: [
            List.self, Show.self, Add.self, Remove.self, Access.self, Member.self, Members.self, TimeMachine.self,
            Statistics.self,
        ]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List them.")

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Page: PagedList {
            struct Entry: Codable {
                let name: String
                let publicPull: Bool
                let role: String?
                let upstreamRegistry: String?
            }

            let organizations: [Entry]
            let nextPage: String?
            var entries: [Entry] { organizations }
        }

        func run() async throws {
            try await api.list(
                "organization",
                as: Page.self,
                json: json,
                ["ORGANIZATION", "UPSTREAM", "PULLS", "ROLE"]
            ) { organization in
                [
                    organization.name, organization.upstreamRegistry ?? "-",
                    organization.publicPull ? "public" : "private", organization.role ?? "-",
                ]
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one of them, as JSON.")

        @Argument(help: "The organization.")
        var organization: String

        @OptionGroup var api: APIOptions

        private struct View: Codable {
            struct Report: Codable {
                let quotaBytes: Int64
                let configuredQuota: Int64?
            }

            let name: String
            let publicPull: Bool
            let isAdmin: Bool
            let isMember: Bool
            let isProxy: Bool
            let timeMachineS: Int64?
            let quotaReport: Report?
        }

        func run() async throws {
            try await api.run { client in
                let view = try await client.get(APIClient.path("organization", organization), as: View.self)
                Console.write(try Command.json(view))
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make an organization.")

        @Argument(help: "Its name.")
        var organization: String

        @Flag(name: .customLong("public"), help: "Everybody may pull from it.")
        var isPublic = false

        @OptionGroup var api: APIOptions

        private struct Wish: Encodable {
            let name: String
            let publicPull: Bool
        }

        func run() async throws {
            try await api.run { client in
                try await client.change(.post, "organization", Wish(name: organization, publicPull: isPublic))
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove an organization with its robots and everything that it has cached."
        )

        @Argument(help: "The organization.")
        var organization: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in try await client.delete(APIClient.path("organization", organization)) }
        }
    }

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

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                try await client.change(
                    .put,
                    APIClient.path("organization", organization),
                    ["public_pull": visibility == .public]
                )
            }
        }
    }

    enum Role: String, ExpressibleByArgument, CaseIterable {
        case reader, member, admin, none
    }

    struct Member: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give somebody a role in an organization, or with `none` take it away."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "The account.")
        var account: String

        @Argument(help: "reader, member, admin or none.")
        var role: Role

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let path = APIClient.path("organization", organization, "members", account)
                guard role != .none else { return try await client.delete(path) }
                try await client.change(.put, path, ["role": role.rawValue])
            }
        }
    }

    struct Members: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List who has a role in an organization.")

        @Argument(help: "The organization.")
        var organization: String

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Page: PagedList {
            struct Entry: Codable {
                let name: String
                let role: String
                let enabled: Bool
            }

            let members: [Entry]
            let nextPage: String?
            var entries: [Entry] { members }
        }

        func run() async throws {
            try await api.list(
                APIClient.path("organization", organization, "members"),
                as: Page.self,
                json: json,
                ["ACCOUNT", "ROLE", ""]
            ) { member in [member.name, member.role, member.enabled ? "" : "disabled"] }
        }
    }

    struct TimeMachine: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "time-machine",
            abstract: "Say how long ended tags of an organization can be revived."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "Such as 2w, 1d or 0s; `default` for as long as the deployment says.")
        var time: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let seconds = time == "default" ? nil : try DurationText.seconds(time, "TIME")
                try await client.change(
                    .put,
                    APIClient.path("organization", organization),
                    // Null means the default; leaving it out would mean no change.
                    ["time_machine_s": seconds]
                )
            }
        }
    }

    struct Statistics: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "stats",
            abstract: "Show pulls, and what the cache has saved."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Option(help: "Days, up to today.")
        var days = 30

        @Flag(help: "A JSON object in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Numbers: Codable {
            let date: String?
            let hits: Int64
            let revalidated: Int64
            let misses: Int64
            let stale: Int64
            let errors: Int64
            let blobPulls: Int64
            let servedBytes: Int64
            let upstreamRequests: Int64
            let upstreamBytes: Int64
            let bytesSaved: Int64

            var row: [String] {
                [
                    date ?? "total", "\(hits)", "\(revalidated)", "\(misses)", "\(stale)", "\(errors)", "\(blobPulls)",
                    Amount.bytes(servedBytes), Amount.bytes(upstreamBytes), Amount.bytes(bytesSaved),
                ]
            }
        }

        private struct View: Codable {
            let total: Numbers
            let days: [Numbers]
            let upstream: UpstreamView?
        }

        func run() async throws {
            try await api.run { client in
                let view = try await client.get(
                    APIClient.path("organization", organization, "statistics"),
                    ["days": "\(days)"],
                    as: View.self
                )
                guard !json else { return Console.write(try Command.json(view)) }
                Console.write(
                    TextTable.text(
                        [
                            "DAY", "HITS", "REVALIDATED", "MISSES", "STALE", "ERRORS", "BLOBS", "SERVED", "FETCHED",
                            "SAVED",
                        ],
                        view.days.map(\.row) + [view.total.row]
                    )
                )
                if let upstream = view.upstream {
                    Console.write("")
                    Console.write(UpstreamView.table([upstream]))
                }
            }
        }
    }
}
