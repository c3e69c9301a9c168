// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ServiceRuntime

/// Everything on one machine: database, fetchers, frontends.
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run all of Entrepot on this machine.",
        discussion: """
            Starts a private PostgreSQL under the data folder, brings its schema up to date, starts the services as
            processes, and keeps them running until SIGINT or SIGTERM. What is stored survives.

            Options win over environment variables of the same meaning, those over config.yaml.
            """
    )

    @Option(help: "Folder for database and blobs. (ENTREPOT_DATA; default: .entrepot)")
    var data: String?

    @Option(
        help:
            "Where clients reach the registry; further frontends take the ports after it. (LISTEN_ADDRESS; default: 127.0.0.1:5080)"
    )
    var listen: String?

    @Option(
        name: .customLong("proxy"),
        help: ArgumentHelp(
            "Add or change an organization that proxies an upstream; http:// means plain HTTP. Repeatable.",
            valueName: "ORG=UPSTREAM[/NAMESPACE]"
        )
    )
    var proxies: [String] = []

    @Option(
        name: .customLong("allow-upstream"),
        help: ArgumentHelp(
            "An upstream that may be loopback or private. Repeatable. (SSRF_ALLOWED_HOSTS)",
            valueName: "HOST-or-CIDR"
        )
    )
    var allowedUpstreams: [String] = []

    @Option(help: ArgumentHelp("An existing database server in place of the private one. (DB_URI)", valueName: "url"))
    var postgres: String?

    @Option(help: "Number of frontends.")
    var frontends: Int?

    @Option(help: "Number of fetchers.")
    var fetchers: Int?

    @Option(help: "Settings file.")
    var config: String?

    func run() async throws {
        var flags: [SettingKey: String] = [:]
        flags[UpSettings.data] = data
        flags[UpSettings.listen] = listen
        flags[UpSettings.frontends] = frontends.map(String.init)
        flags[UpSettings.fetchers] = fetchers.map(String.init)
        flags[SharedSettings.database] = postgres
        if !allowedUpstreams.isEmpty { flags[UpSettings.allowedHosts] = allowedUpstreams.joined(separator: ",") }
        try await Command.run(name: "up", keys: UpSettings.keys, flags: flags, config: config) { runtime in
            let settings = try UpSettings(runtime.settings, proxies: proxies)
            try await Bringup(settings, logger: runtime.logger).run()
        }
    }
}
