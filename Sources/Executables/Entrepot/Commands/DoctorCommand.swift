// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// Looks for what is wrong, and says what to do.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check database, storage, upstreams, credentials, clocks and disk space, and say what to do.",
        discussion: "Ends with status 1 when there is a problem. Asks every upstream that is configured."
    )

    @Flag(help: "A JSON object in place of text.")
    var json = false

    @OptionGroup var api: APIOptions

    private struct Report: Codable {
        struct Finding: Codable {
            let check: String
            let subject: String
            let status: String
            let message: String
            let advice: String
        }

        let now: String
        let findings: [Finding]
    }

    func run() async throws {
        try await api.run { client in
            let report = try await client.get("superuser/doctor", as: Report.self)
            let isIll = report.findings.contains { $0.status == "problem" }
            if json {
                Console.write(try Command.json(report))
            } else {
                for finding in report.findings {
                    let mark = ["ok": "ok     ", "warning": "warning"][finding.status] ?? "PROBLEM"
                    Console.write("\(mark)  \(finding.check) \(finding.subject): \(finding.message)")
                    if !finding.advice.isEmpty { Console.write("         -> \(finding.advice)") }
                }
                Console.write(isIll ? "something is wrong" : "all is well")
            }
            if isIll { throw ExitCode(1) }
        }
    }
}
