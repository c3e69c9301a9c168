// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The operator's command.
@main
struct Entrepot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "entrepot",
        abstract: "A pull-through cache for container registries.",
        subcommands: [Up.self, Migrate.self]
    )
}
