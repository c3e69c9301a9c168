// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Jobs
import Metadata
import Models
import ServiceRuntime

/// Limits that an operator sets for an upstream.
struct UpstreamCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upstream",
        abstract: "What is kept towards an upstream.",
        subcommands: [Limit.self]
    )

    struct Limit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Limit how hard an upstream is asked, by all fetchers together; the rest waits in line.",
            discussion: "What isn't given is not limited: without options all limits are lifted."
        )

        @Argument(help: "The upstream: HOST, or http://HOST:PORT.")
        var upstream: String

        @Option(help: "Requests at once.")
        var connections: Int?

        @Option(help: "Requests per second.")
        var requestsPerSecond: Double?

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await Command.run(name: "upstream", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
                let address: UpstreamAddress
                do { address = try UpstreamAddress(parsing: upstream) } catch { throw SettingsError("\(error)") }
                if let connections, !(1...10_000).contains(connections) {
                    throw SettingsError("--connections \(connections): expected a number from 1 to 10000")
                }
                if let rate = requestsPerSecond, !(rate >= 0.01 && rate <= 10_000) {
                    throw SettingsError("--requests-per-second \(rate): expected a number from 0.01 to 10000")
                }
                try await database.withClient(runtime) { client in
                    try await UpstreamStore().setLimits(
                        maximumConnections: connections,
                        requestsPerSecond: requestsPerSecond,
                        of: address.baseURL,
                        on: client
                    )
                    await JobNotifier(client: client, logger: runtime.logger).notify(.upstreams, [address.baseURL])
                    print("limits of \(address.baseURL) set")
                }
            }
        }
    }
}
