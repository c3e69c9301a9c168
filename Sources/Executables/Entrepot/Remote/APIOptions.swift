// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTransport
import ServiceRuntime
import Supervision

/// How a command finds the API that it asks, and who it is there.
struct APIOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "An Entrepot; its token is ENTREPOT_TOKEN in the environment, or the one of `entrepot login`. (ENTREPOT_URL)",
            valueName: "http(s)://HOST[:PORT]"
        )
    )
    var url: String?

    @Option(help: "Data folder of an `entrepot up` on this machine. (ENTREPOT_DATA; default: .entrepot)")
    var data: String?

    /// Runs `body` with a client of the API, as ``Command/run(name:keys:flags:config:_:)`` does.
    func run(_ body: (APIClient) async throws -> Void) async throws {
        try await Command.run(name: "entrepot", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            let login = try find(runtime)
            let transport = Self.transport(login.url, runtime)
            defer { transport.shutdown() }
            try await body(
                APIClient(url: login.url, authorization: "Bearer \(login.token)", transport: transport)
            )
        }
    }

    /// Prints all entries of a list: a JSON array, or a table with a row for each.
    func list<List: PagedList>(
        _ path: String,
        _ query: [String: String?] = [:],
        as type: List.Type,
        json: Bool,
        _ head: [String],
        row: (List.Entry) -> [String]
    ) async throws where List.Entry: Encodable {
        try await run { client in
            let entries = try await client.all(path, query, as: type)
            Console.write(json ? try Command.json(entries) : TextTable.text(head, entries.map(row)))
        }
    }

    /// A transport that may go anywhere, through the environment's proxies; but nobody else's loopback is ours.
    static func transport(_ url: String, _ runtime: ServiceRuntime) -> HTTPTransport {
        let host = URL(string: url)?.host() ?? ""
        let isLocal = host == "localhost" || host.hasPrefix("127.") || host == "::1"
        return HTTPTransport(
            HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: isLocal ? .none : .fromProcess()),
            logger: runtime.logger
        )
    }

    /// What is said wins over the environment, and a folder beside us over what was logged in to once.
    private func find(_ runtime: ServiceRuntime) throws -> Login {
        let environment = ProcessInfo.processInfo.environment
        let saved = try Login.read(Login.ownFile)
        if let url = url ?? (data == nil ? environment["ENTREPOT_URL"] : nil) {
            if let token = environment["ENTREPOT_TOKEN"] { return Login(url: url, token: token) }
            guard let saved, saved.url == Self.trimmed(url) else {
                throw SettingsError("there is no token for \(url): set ENTREPOT_TOKEN, or `entrepot login \(url)`")
            }
            return saved
        }
        let folder = try data ?? runtime.settings.string(UpSettings.data)
        if let login = try Login.read(DataFolder.operatorLogin(of: folder)) { return login }
        if data == nil, let saved { return saved }
        throw SettingsError(
            "no `entrepot up` has run over \(folder): name its folder with --data, or `entrepot login URL`"
        )
    }

    static func trimmed(_ url: String) -> String { url.hasSuffix("/") ? String(url.dropLast()) : url }
}
