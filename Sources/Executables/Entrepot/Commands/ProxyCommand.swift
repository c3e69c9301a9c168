// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import ServiceRuntime

/// Upstreams of organizations.
struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "Upstreams of organizations.",
        subcommands: [Show.self, Set.self, Check.self, CredentialsCommand.self, Remove.self]
    )

    static func path(_ organization: String) -> String { APIClient.path("organization", organization, "proxycache") }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an organization's upstream, as JSON.")

        @Argument(help: "The organization.")
        var organization: String

        @OptionGroup var api: APIOptions

        private struct View: Codable {
            let upstreamRegistry: String
            let expirationS: Int64
            let insecure: Bool
            let freshnessS: Int64
            let stalenessS: Int64
            let onUpstreamDelete: String
            let oversized: String
            let platforms: [String]
            let realmHosts: [String]
            let foreignLayerHosts: [String]
            let hasCredentials: Bool
        }

        private struct Kind: Decodable {
            let upstreamRegistry: String
        }

        func run() async throws {
            try await api.run { client in
                let path = ProxyCommand.path(organization)
                guard try await !client.get(path, as: Kind.self).upstreamRegistry.isEmpty else {
                    Console.complain("\(organization) has no upstream")
                    throw ExitCode(3)
                }
                Console.write(try Command.json(try await client.get(path, as: View.self)))
            }
        }
    }

    /// What can be said of an upstream.
    struct Options: ParsableArguments {
        @Option(help: "Lifetime of a cached tag, such as 1d; 0s never ends.")
        var expiration: String?

        @Option(help: "How long a tag is served without asking upstream.")
        var freshness: String?

        @Option(help: "How long a tag is served while upstream fails.")
        var staleness: String?

        @Option(help: "What becomes of a tag that upstream says is gone: serve or hide.")
        var onUpstreamDelete: String?

        @Option(help: "What becomes of an image larger than the quota: overflow, bypass or reject.")
        var oversized: String?

        @Option(name: .customLong("platform"), help: "A platform whose images are fetched at once. Repeatable.")
        var platforms: [String] = []

        @Option(name: .customLong("realm-host"), help: "A host that may issue the upstream's tokens. Repeatable.")
        var realmHosts: [String] = []

        @Option(name: .customLong("foreign-layer-host"), help: "A host that foreign layers may come from. Repeatable.")
        var foreignLayerHosts: [String] = []

        @Option(help: "User name at the upstream.")
        var username: String?

        @Option(help: "File with the password or token; - for standard input.")
        var passwordFile: String?

        func wish(_ upstream: String?) throws -> ProxyWish {
            var wish = ProxyWish(upstream)
            wish.expirationS = try expiration.map { try DurationText.seconds($0, "--expiration") }
            wish.freshnessS = try freshness.map { try DurationText.seconds($0, "--freshness") }
            wish.stalenessS = try staleness.map { try DurationText.seconds($0, "--staleness") }
            wish.onUpstreamDelete = onUpstreamDelete
            wish.oversized = oversized
            wish.platforms = platforms.isEmpty ? nil : platforms
            wish.realmHosts = realmHosts.isEmpty ? nil : realmHosts
            wish.foreignLayerHosts = foreignLayerHosts.isEmpty ? nil : foreignLayerHosts
            try wish.login(username, passwordFile)
            return wish
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give an organization an upstream, or change what is given of the one it has. The cache stays."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "[http://]HOST[:PORT][/NAMESPACE]; the one it has if it isn't given.")
        var upstream: String?

        @OptionGroup var options: Options
        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let wish = try options.wish(upstream)
                do {
                    try await client.change(.put, ProxyCommand.path(organization), wish)
                } catch let failure as APIFailure where failure.exitCode == ExitCode(3) && upstream != nil {
                    try await client.change(.post, ProxyCommand.path(organization), wish)
                }
            }
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try an upstream out: the one that an organization has, or another one."
        )

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "[http://]HOST[:PORT][/NAMESPACE]; the one it has if it isn't given.")
        var upstream: String?

        @OptionGroup var options: Options
        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                let answer = try await client.change(
                    .post,
                    APIClient.path("organization", organization, "validateproxycache"),
                    try options.wish(upstream),
                    as: String.self
                )
                Console.write(answer == "Anonymous" ? "valid, without a login" : "valid")
            }
        }
    }

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

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                var wish = ProxyWish(nil)
                if clear {
                    wish.upstreamRegistryUsername = ""
                    wish.upstreamRegistryPassword = ""
                } else {
                    guard username != nil else {
                        throw SettingsError("give --username and --password-file, or --clear")
                    }
                    try wish.login(username, passwordFile)
                }
                try await client.change(.put, ProxyCommand.path(organization), wish)
                Console.write(clear ? "credentials removed" : "credentials sealed")
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take an organization's upstream away; what is cached is still served."
        )

        @Argument(help: "The organization.")
        var organization: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in try await client.delete(ProxyCommand.path(organization)) }
        }
    }
}

/// What is said of an upstream. Nil: as it is.
struct ProxyWish: Encodable {
    var upstreamRegistry: String?
    var insecure: Bool?
    var upstreamRegistryUsername: String?
    var upstreamRegistryPassword: String?
    var expirationS: Int64?
    var freshnessS: Int64?
    var stalenessS: Int64?
    var onUpstreamDelete: String?
    var oversized: String?
    var platforms: [String]?
    var realmHosts: [String]?
    var foreignLayerHosts: [String]?

    init(_ upstream: String?) {
        guard let upstream else { return }
        insecure = upstream.hasPrefix("http://")
        upstreamRegistry = upstream
    }

    /// Throws ``SettingsError`` for half a login.
    mutating func login(_ username: String?, _ passwordFile: String?) throws {
        guard username != nil || passwordFile != nil else { return }
        guard let username, let passwordFile else {
            throw SettingsError("--username and --password-file go together")
        }
        upstreamRegistryUsername = username
        upstreamRegistryPassword = try OwnFile.secret(passwordFile, option: "--password-file")
    }
}
