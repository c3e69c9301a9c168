// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Operations
import ServiceRuntime

/// What is cached, by repository.
struct RepositoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repo",
        abstract: "What is cached, by repository.",
        subcommands: [List.self, Show.self, Remove.self]
    )

    struct View: Codable {
        let namespace: String
        let name: String
        let cacheState: String
        let cachedBytes: Int64
        let tagCount: Int
        let lastPulled: String?
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the repositories of an organization.")

        @Argument(help: "The organization.")
        var organization: String

        @Flag(help: "A JSON array in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Page: PagedList {
            let repositories: [View]
            let nextPage: String?
            var entries: [View] { repositories }
        }

        func run() async throws {
            try await api.list(
                "repository",
                ["namespace": organization],
                as: Page.self,
                json: json,
                ["REPOSITORY", "TAGS", "CACHED", "STATE", "LAST PULL"]
            ) { repository in
                [
                    "\(repository.namespace)/\(repository.name)", "\(repository.tagCount)",
                    Amount.bytes(repository.cachedBytes), repository.cacheState, repository.lastPulled ?? "-",
                ]
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a repository, as JSON.")

        @Argument(help: ArgumentHelp("The repository.", valueName: "ORG/REPO"))
        var repository: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                Console.write(
                    try Command.json(try await client.get(APIClient.path("repository", repository), as: View.self))
                )
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a repository from the cache; what is pulled again is fetched again."
        )

        @Argument(help: ArgumentHelp("The repository.", valueName: "ORG/REPO"))
        var repository: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { try await $0.delete(APIClient.path("repository", repository)) }
        }
    }
}
