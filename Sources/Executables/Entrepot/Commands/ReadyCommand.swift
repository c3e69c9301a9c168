// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HTTPTransport
import ServiceRuntime

/// What health checks of containers run, where there is no other client of HTTP.
struct ReadyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ready",
        abstract: "Ask the service on this machine, or in this container, whether it is ready.",
        discussion: "Ends with status 1 when it isn't, and says what it lacks; with 5 when nobody answers."
    )

    @Argument(help: "Its INTERNAL_ADDRESS; read from the environment or the settings file otherwise.")
    var address: String?

    func run() async throws {
        var flags: [SettingKey: String] = [:]
        flags[SharedSettings.internalAddress] = address
        try await Command.run(name: "ready", flags: flags) { runtime in
            let key = SharedSettings.internalAddress
            let address = try runtime.settings.hostPort(key)
            guard address.port > 0 else {
                throw runtime.settings.invalid(key, "\(address)", "expected the port of a service")
            }
            let url = "http://\(address.fromHere)/readyz"
            let transport = HTTPTransport(
                HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
                logger: runtime.logger
            )
            defer { transport.shutdown() }
            do {
                let response = try await transport.send(
                    HTTPTransportRequest(url: url, deadlines: HTTPTransportDeadlines(total: .seconds(5)))
                )
                let text = String(decoding: try await response.collect(upTo: 65_536), as: UTF8.self)
                Console.write(String(text.prefix { !$0.isNewline }))
                guard response.head.status == 200 else { throw ExitCode(1) }
            } catch let error as HTTPTransportError {
                throw APIFailure.unreachable(url, error.message)
            }
        }
    }
}
