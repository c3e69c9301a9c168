// SPDX-License-Identifier: Apache-2.0

/// How bad a vulnerability is, in the scanner's words; smaller is milder.
package enum Severity: Int, Sendable, Hashable, Codable, CaseIterable, Comparable {
    case unknown, negligible, low, medium, high, critical

    /// `Unknown`, `High`, …
    package var name: String {
        switch self {
        case .unknown: "Unknown"
        case .negligible: "Negligible"
        case .low: "Low"
        case .medium: "Medium"
        case .high: "High"
        case .critical: "Critical"
        }
    }

    /// Nil for any other word; case doesn't matter.
    package init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name.lowercased() == name.lowercased() }) else { return nil }
        self = found
    }

    /// From a CVSS base score, 0 to 10 (CVSS v3.1 specification, section 5, "Qualitative Severity Rating Scale").
    package init(score: Double) {
        switch score {
        case ..<0.1: self = .unknown
        case ..<4: self = .low
        case ..<7: self = .medium
        case ..<9: self = .high
        default: self = .critical
        }
    }

    package static func < (left: Severity, right: Severity) -> Bool { left.rawValue < right.rawValue }
}
