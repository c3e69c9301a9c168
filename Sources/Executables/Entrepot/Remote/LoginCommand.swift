// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Glibc
import HTTPTransport
import HTTPTypes
import ServiceRuntime
import Supervision

/// Keeps a token of an Entrepot elsewhere.
struct LoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Log in to an Entrepot, and keep a token for later commands.",
        discussion: "The token is kept in $XDG_CONFIG_HOME/entrepot/login.json, which only its owner can read."
    )

    @Argument(help: "Where it is: http(s)://HOST[:PORT].")
    var url: String

    @Option(help: "Name of the account; asked for if it isn't given.")
    var username: String?

    @Option(help: "File with the password, - for standard input; asked for if it isn't given.")
    var passwordFile: String?

    @Option(help: "Days until the token expires.")
    var days = 90

    private struct Wish: Encodable {
        let title: String
        let expiresS: Int
    }

    private struct Made: Decodable {
        struct Token: Decodable {
            let tokenCode: String
        }

        let token: Token
    }

    func run() async throws {
        try await Command.run(name: "login") { runtime in
            guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
                throw SettingsError("\(url): expected http://HOST[:PORT] or https://HOST[:PORT]")
            }
            guard (1...3_650).contains(days) else { throw SettingsError("--days \(days): expected 1 to 3650") }
            let name = try username ?? Self.ask("Username: ", isSecret: false)
            let password =
                try passwordFile.map { try OwnFile.secret($0, option: "--password-file") }
                ?? Self.ask("Password: ", isSecret: true)
            let transport = APIOptions.transport(url, runtime)
            defer { transport.shutdown() }
            let basic = "Basic " + Data("\(name):\(password)".utf8).base64EncodedString()
            let client = APIClient(url: url, authorization: basic, transport: transport)
            let host = ProcessInfo.processInfo.hostName
            let made = try await client.change(
                .post,
                "user/apptoken",
                Wish(title: "entrepot login on \(host)", expiresS: days * 86_400),
                as: Made.self
            )
            try Login(url: client.url, token: made.token.tokenCode).write(Login.ownFile)
            Console.write("logged in to \(client.url) as \(name); the token is in \(Login.ownFile)")
        }
    }

    private static func ask(_ prompt: String, isSecret: Bool) throws -> String {
        guard isatty(STDIN_FILENO) == 1 else {
            throw SettingsError("nobody is there to be asked: give --username and --password-file")
        }
        if isSecret {
            guard let text = getpass(prompt) else { throw SettingsError("no password was given") }
            return String(cString: text)
        }
        FileHandle.standardError.write(Data(prompt.utf8))
        guard let line = readLine() else { throw SettingsError("no name was given") }
        return line
    }
}

/// Forgets it.
struct LogoutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Forget the token of `entrepot login`, and make it worthless."
    )

    func run() async throws {
        try await Command.run(name: "logout") { runtime in
            guard let login = try Login.read(Login.ownFile) else { return Console.write("nobody is logged in") }
            let transport = APIOptions.transport(login.url, runtime)
            defer { transport.shutdown() }
            let client = APIClient(url: login.url, authorization: "Bearer \(login.token)", transport: transport)
            do {
                try await client.delete("user/apptoken/current")
            } catch let failure as APIFailure {
                Console.complain("the token may still be good there: \(failure)")
            }
            guard unlink(Login.ownFile) == 0 else {
                throw SupervisionError("\(Login.ownFile) can't be removed: \(String(cString: strerror(errno)))")
            }
            Console.write("logged out of \(login.url)")
        }
    }
}
