// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Operations

/// The garbage collector's work.
struct CollectionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "The garbage collector's work.",
        subcommands: [Status.self]
    )

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what the garbage collector would take now, and what it has taken."
        )

        @Flag(help: "A JSON object in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct View: Codable {
            struct Count: Codable {
                let kind: String
                let items: Int64
                let bytes: Int64
            }

            let pending: [Count]
            let collected: [Count]
        }

        func run() async throws {
            try await api.run { client in
                let view = try await client.get("superuser/gc", as: View.self)
                guard !json else { return Console.write(try Command.json(view)) }
                let rows = [("would go", view.pending), ("went", view.collected)].flatMap { name, counts in
                    counts.map { [name, $0.kind, "\($0.items)", Amount.bytes($0.bytes)] }
                }
                Console.write(TextTable.text(["", "KIND", "ITEMS", "BYTES"], rows))
            }
        }
    }
}
