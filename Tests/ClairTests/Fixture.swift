// SPDX-License-Identifier: Apache-2.0

import Clair
import Foundation

/// Reports that Clair has made of real images, and what the model's API said of them.
enum Fixture {
    /// Of the report, and of the reply.
    static let pairs = [
        ("vulnerabilityreport", "securityinformation"),
        ("vulnerabilityreport_duplicates", "securityinformation_deduped"),
        ("vulnerabilityreport_withenrichments", "securityinformation_withenrichments"),
    ]

    static func data(_ name: String) throws -> Data {
        try Data(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/\(name).json")
        )
    }

    static func report(_ name: String) throws -> VulnerabilityReport {
        try VulnerabilityReport(json: data(name))
    }

    static func report(text: String) throws -> VulnerabilityReport { try VulnerabilityReport(json: Data(text.utf8)) }
}
