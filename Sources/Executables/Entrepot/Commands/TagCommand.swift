// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import Operations
import ServiceRuntime

/// Tags: what they name, how long, and what they named before.
struct TagCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Tags: what they name, how long, and what they named before.",
        subcommands: [
            List.self, History.self, Expire.self, Pin.self, Unpin.self, Remove.self, Revive.self,
        ]
    )

    /// A lifetime of a tag.
    struct View: Codable {
        let name: String
        let manifestDigest: String
        let isManifestList: Bool
        let size: Int64
        let cachedBytes: Int64
        let state: String
        let pinned: Bool
        let lastModified: String
        let lastChecked: String
        let lastPulled: String?
        let expiration: String?

        /// What isn't known is null, so that programs find every field.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(manifestDigest, forKey: .manifestDigest)
            try container.encode(isManifestList, forKey: .isManifestList)
            try container.encode(size, forKey: .size)
            try container.encode(cachedBytes, forKey: .cachedBytes)
            try container.encode(state, forKey: .state)
            try container.encode(pinned, forKey: .pinned)
            try container.encode(lastModified, forKey: .lastModified)
            try container.encode(lastChecked, forKey: .lastChecked)
            try container.encode(lastPulled, forKey: .lastPulled)
            try container.encode(expiration, forKey: .expiration)
        }

        static func list(_ path: String, _ query: [String: String?] = [:], json: Bool, _ api: APIOptions) async throws {
            try await api.list(
                path,
                query,
                as: Page.self,
                json: json,
                ["TAG", "DIGEST", "SIZE", "STATE", "LAST PULL", "EXPIRES"]
            ) { tag in
                [
                    tag.name + (tag.pinned ? " (pinned)" : ""), String(tag.manifestDigest.prefix(19)),
                    Amount.bytes(tag.size), tag.state, tag.lastPulled ?? "-", tag.expiration ?? "never",
                ]
            }
        }
    }

    struct Page: PagedList {
        let tags: [View]
        let nextPage: String?
        var entries: [View] { tags }
    }

    /// `ORG/REPO:TAG`.
    struct Target: ExpressibleByArgument {
        let path: String

        init?(argument: String) {
            guard let colon = argument.lastIndex(of: ":"), let slash = argument.lastIndex(of: "/"), slash < colon else {
                return nil
            }
            let tag = String(argument[argument.index(after: colon)...])
            path = APIClient.path("repository", String(argument[..<colon]), "tag", tag)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the tags of a repository.")

        @Argument(help: ArgumentHelp("The repository.", valueName: "ORG/REPO"))
        var repository: String

        @Flag(help: "What has ended, too.")
        var all = false

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await View.list(
                APIClient.path("repository", repository, "tag"),
                ["onlyActiveTags": all ? "false" : "true"],
                json: json,
                api
            )
        }
    }

    struct History: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what a tag named, newest first.")

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await View.list(tag.path + "/history", json: json, api)
        }
    }

    struct Expire: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a tag an expiration of its own, until its next pull."
        )

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @Argument(help: "From now, such as 2h or 1d; or never.")
        var time: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let end =
                    time == "never"
                    ? nil : Int64(Date().timeIntervalSince1970.rounded(.up)) + (try DurationText.seconds(time, "TIME"))
                try await client.change(.put, tag.path, ["expiration": end])
            }
        }
    }

    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a tag from ever being pruned, whatever it names."
        )

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.change(.put, tag.path, ["pinned": true]) } }
    }

    struct Unpin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a tag be pruned again.")

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.change(.put, tag.path, ["pinned": false]) } }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a tag; it can be revived as long as the time machine remembers it."
        )

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @OptionGroup var api: APIOptions

        func run() async throws { try await api.run { try await $0.delete(tag.path) } }
    }

    struct Revive: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a tag name again what the time machine remembers of it."
        )

        @Argument(help: ArgumentHelp("The tag.", valueName: "ORG/REPO:TAG"))
        var tag: Target

        @Option(help: "Of the manifest that it is to name; what it named last if it isn't given.")
        var digest: String?

        @OptionGroup var api: APIOptions

        private struct Revived: Decodable {
            let manifestDigest: String
        }

        func run() async throws {
            try await api.run { client in
                let wish = digest.map { ["manifest_digest": $0] } ?? [:]
                let revived = try await client.change(.post, tag.path + "/restore", wish, as: Revived.self)
                Console.write(revived.manifestDigest)
            }
        }
    }
}
