// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import OCI
import Operations
import ServiceRuntime

/// What the vulnerability scanner says.
struct ScanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan",
        abstract: "What the vulnerability scanner says.",
        subcommands: [Status.self, Show.self]
    )

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show how far images are scanned.")

        @Flag(help: "A JSON object in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct View: Codable {
            let images: [String: Int]
            let due: Int
            let openNotifications: Int
            let openDeletions: Int
            let indexState: String?
            let seenSAgo: Int?
        }

        func run() async throws {
            try await api.run { client in
                let view = try await client.get("superuser/scan", as: View.self)
                guard !json else { return Console.write(try Command.json(view)) }
                let rows = view.images.sorted { $0.key < $1.key }.map { [$0.key, "\($0.value)"] }
                Console.write(TextTable.text(["STATE", "IMAGES"], rows))
                Console.write("to be done now: \(view.due)")
                let seen = view.seenSAgo.map { "scanner seen \($0) s ago" } ?? "the scanner was never seen"
                Console.write(seen)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an image's findings by severity.")

        @Argument(help: ArgumentHelp("The image.", valueName: "ORG/IMAGE[:TAG][@DIGEST]"))
        var image: String

        @Flag(help: "A JSON object in place of a table.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Tag: Decodable {
            let manifestDigest: String
        }

        private struct Report: Decodable {
            struct Payload: Decodable {
                let layer: Layer

                private enum CodingKeys: String, CodingKey { case layer = "Layer" }
            }

            struct Layer: Decodable {
                let features: [Feature]

                private enum CodingKeys: String, CodingKey { case features = "Features" }
            }

            struct Feature: Decodable {
                let name: String
                let version: String
                let findings: [Finding]

                private enum CodingKeys: String, CodingKey {
                    case name = "Name"
                    case version = "Version"
                    case findings = "Vulnerabilities"
                }
            }

            struct Finding: Decodable {
                let name: String
                let severity: String
                let fixedBy: String

                private enum CodingKeys: String, CodingKey {
                    case name = "Name"
                    case severity = "Severity"
                    case fixedBy = "FixedBy"
                }
            }

            let status: String
            let data: Payload?
        }

        private struct Line: Encodable {
            let severity: String
            let name: String
            let package: String
            let version: String
            let fixedBy: String
        }

        private struct View: Encodable {
            let image: String
            let digest: String
            let status: String
            let packages: Int
            let counts: [String: Int]
            let findings: [Line]
        }

        private static let order = ["Critical", "High", "Medium", "Low", "Negligible", "Unknown"]

        func run() async throws {
            try await api.run { client in
                let target: WarmTarget
                do { target = try WarmTarget(image) } catch { throw SettingsError("\(error)") }
                let repository = "\(target.organization)/\(target.repository)"
                let digest: String
                switch target.reference {
                case .digest(let known): digest = known.description
                case .tag(let tag):
                    let path = APIClient.path("repository", repository, "tag", tag.rawValue)
                    digest = try await client.get(path, as: Tag.self).manifestDigest
                }
                let path = APIClient.path("repository", repository, "manifest", digest, "security")
                let report = try await client.get(path, ["vulnerabilities": "true"], as: Report.self)
                let view = Self.view(target.description, digest, report)
                guard !json else { return Console.write(try Command.json(view)) }
                Console.write("\(view.image)  \(view.status), \(view.packages) packages")
                let counts = Self.order.compactMap { name in view.counts[name].map { [name, "\($0)"] } }
                Console.write(TextTable.text(["SEVERITY", "FINDINGS"], counts))
                guard !view.findings.isEmpty else { return }
                Console.write("")
                Console.write(
                    TextTable.text(
                        ["SEVERITY", "NAME", "PACKAGE", "VERSION", "FIXED BY"],
                        view.findings.map {
                            [$0.severity, $0.name, $0.package, $0.version, $0.fixedBy.isEmpty ? "-" : $0.fixedBy]
                        }
                    )
                )
            }
        }

        private static func view(_ image: String, _ digest: String, _ report: Report) -> View {
            let features = report.data?.layer.features ?? []
            let lines = features.flatMap { feature in
                feature.findings.map {
                    Line(
                        severity: $0.severity,
                        name: $0.name,
                        package: feature.name,
                        version: feature.version,
                        fixedBy: $0.fixedBy
                    )
                }
            }
            func rank(_ severity: String) -> Int { order.firstIndex(of: severity) ?? order.count }
            return View(
                image: image,
                digest: digest,
                status: report.status,
                packages: features.count,
                counts: Dictionary(lines.map { ($0.severity, 1) }, uniquingKeysWith: +),
                findings: lines.sorted {
                    (rank($0.severity), $0.package, $0.name) < (rank($1.severity), $1.package, $1.name)
                }
            )
        }
    }
}
