// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes

/// The deployment's superuser, and the command line as he uses it.
extension Deployment {
    package static let operatorPassword = "a password for operators"

    /// Environment of commands that act for the superuser; he is made when he is first needed.
    package func operatorEnvironment() async throws -> [String: String] {
        try await operatorLogin.value { [self] in
            let migrate = try await TestProcess(
                Executables.path("entrepot"),
                ["migrate", "--postgres", database],
                environment: ["ENTREPOT_ADMIN_PASSWORD": Self.operatorPassword]
            )
            guard try await migrate.exitStatus() == 0 else {
                throw TestSupportError(migrate.lines.joined(separator: "\n"))
            }
            let basic = "Basic " + Data("admin:\(Self.operatorPassword)".utf8).base64EncodedString()
            let answer = try await registry.send(
                .post,
                "/api/v1/user/apptoken",
                [.authorization: basic, .contentType: "application/json"],
                body: Array(#"{"title":"tests"}"#.utf8)
            )
            struct Made: Decodable {
                struct Token: Decodable { let token_code: String }
                let token: Token
            }
            guard answer.status == 200 else { throw TestSupportError(answer.text) }
            let made = try JSONDecoder().decode(Made.self, from: Data(answer.body))
            // What an operator logged in to before is none of a test's business.
            return [
                "ENTREPOT_URL": registry.base, "ENTREPOT_TOKEN": made.token.token_code,
                "XDG_CONFIG_HOME": storage.path + "/config",
            ]
        }
    }

    /// Starts `entrepot` with these words.
    /// - Parameter password: goes into a file that `--password-file` names
    package func startEntrepot(_ words: [String], password: String? = nil) async throws -> TestProcess {
        var words = words
        if let password {
            let file = storage.path + "/password-\(UUID().uuidString)"
            try password.write(toFile: file, atomically: true, encoding: .utf8)
            words += ["--password-file", file]
        }
        return try await TestProcess(
            Executables.path("entrepot"),
            words,
            environment: try await operatorEnvironment()
        )
    }

    /// Runs `entrepot` to its end and returns what it printed. Throws with that text when it fails.
    @discardableResult
    package func entrepot(_ words: [String], password: String? = nil) async throws -> String {
        let process = try await startEntrepot(words, password: password)
        let status = try await process.exitStatus()
        let text = process.lines.joined(separator: "\n")
        guard status == 0 else {
            throw TestSupportError("entrepot \(words.joined(separator: " ")) ended with \(status):\n\(text)")
        }
        return text
    }
}

/// Something that is made once, by whoever needs it first.
package actor Once<Value: Sendable> {
    private var task: Task<Value, any Error>?

    package func value(_ make: @escaping @Sendable () async throws -> Value) async throws -> Value {
        if let task { return try await task.value }
        let made = Task { try await make() }
        task = made
        return try await made.value
    }
}
