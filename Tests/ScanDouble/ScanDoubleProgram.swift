// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import TestSupport

/// The double of Clair as a program of its own, for demonstrations without a Clair. It isn't shipped.
@main
struct ScanDoubleProgram: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan-double",
        abstract: "A double of Clair 4.9, not Clair: speaks its API, and reports the Debian packages of images."
    )

    @Option(help: "Port of the loopback address; 0 takes any free one.")
    var port = 6060

    @Option(help: "The key that is shared with it, in base64; everybody may ask if there is none.")
    var key: String?

    @Option(help: "What it finds: NAME=PACKAGE=SEVERITY, and =VERSION of the package that ends it. Repeatable.")
    var vulnerability: [String] = []

    func run() async throws {
        let known = try vulnerability.map(Self.vulnerability)
        try await ScanDouble.with(port: port) { double in
            for vulnerability in known { double.know(vulnerability) }
            if let key {
                guard let bytes = Data(base64Encoded: key) else { throw ValidationError("--key isn't base64") }
                double.requireKey(bytes)
            }
            let words = """
                scan-double, which is not Clair: its vulnerabilities are those that it was told of
                listening address=\(double.url)

                """
            try FileHandle.standardOutput.write(contentsOf: Data(words.utf8))
            // Until it is killed.
            while true { try await Task.sleep(for: .seconds(3_600)) }
        }
    }

    private static func vulnerability(_ text: String) throws -> KnownVulnerability {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        guard (3...4).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw ValidationError("\(text) isn't NAME=PACKAGE=SEVERITY or NAME=PACKAGE=SEVERITY=VERSION")
        }
        return KnownVulnerability(
            parts[0],
            in: parts[1],
            severity: parts[2],
            fixedIn: parts.count == 4 ? parts[3] : ""
        )
    }
}
