// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Jobs
import Metadata
import Models
import Sealing
import ServiceRuntime
import Supervision

/// Settings of proxy organizations.
struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "Upstreams of organizations.",
        subcommands: [CredentialsCommand.self]
    )

    struct CredentialsCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "credentials",
            abstract: "Set or remove the credentials with which an organization pulls from its upstream.",
            discussion:
                "They are sealed to the fetchers' key before they are stored: nobody but a fetcher can read them."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Option(help: "User name at the upstream.")
        var username: String?

        @Option(help: "File with the password or token; - for standard input.")
        var passwordFile: String?

        @Flag(help: "Remove the credentials.")
        var clear = false

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await Command.run(name: "proxy", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
                let credentials = try clear ? nil : readCredentials()
                try await database.withClient(runtime) { client in
                    let organization = try await DatabaseOptions.organization(organization, on: client)
                    let store = CredentialStore()
                    var sealed: SealedCredentials?
                    if let credentials {
                        guard let key = try await store.newestKey(on: client) else {
                            throw SupervisionError("no fetcher has a key yet: give it one with FETCHER_KEY_FILES")
                        }
                        sealed = try CredentialSealer(SealingPublicKey(bytes: key))
                            .seal(credentials, for: organization.id)
                    }
                    guard try await store.set(sealed, organization: organization.id, on: client) else {
                        throw SupervisionError("organization \(organization.name) proxies no upstream")
                    }
                    await JobNotifier(client: client, logger: runtime.logger)
                        .notify(.organizations, [organization.name.rawValue])
                    print(sealed == nil ? "credentials removed" : "credentials sealed")
                }
            }
        }

        private func readCredentials() throws -> UpstreamCredentials {
            guard let username, let passwordFile else {
                throw SettingsError("give --username and --password-file, or --clear")
            }
            let content: Data
            do {
                // By a handle, since it may be a pipe.
                let handle =
                    passwordFile == "-"
                    ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(filePath: passwordFile))
                content = try handle.readToEnd() ?? Data()
            } catch {
                throw SettingsError("--password-file \(passwordFile) can't be read")
            }
            do {
                let password = String(decoding: content, as: UTF8.self).trimmingCharacters(in: .newlines)
                return try UpstreamCredentials(username: username, password: password)
            } catch {
                throw SettingsError("--username or --password-file: \(error)")
            }
        }
    }
}
