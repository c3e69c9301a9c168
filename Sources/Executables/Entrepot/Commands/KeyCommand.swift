// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Sealing
import ServiceRuntime
import Supervision

/// Keys of fetchers.
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Keys that only fetchers have.",
        subcommands: [New.self]
    )

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a private key, which opens what is sealed to it.",
            discussion: """
                Fetchers read it by FETCHER_KEY_FILES, newest first. To change keys, put the new file before the old one and
                restart the fetchers: they seal everything to the new one, and then the old file can go.
                """
        )

        @Argument(help: "File to make; one that exists is left as it is.")
        var file: String

        func run() async throws {
            try await Command.run(name: "key") { _ in
                let key = try SealingPrivateKey()
                try OwnFile.write(Data(key.fileContent.utf8), to: file)
                print("key \(key.publicKey.id) in \(file)")
            }
        }
    }
}
