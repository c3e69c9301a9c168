// SPDX-License-Identifier: Apache-2.0

import Models

extension ScanPolicy {
    /// What `block_severity` says where no image is refused for its findings.
    static let noSeverity = "None"
    static let severities = [noSeverity] + Severity.allCases.map(\.name)

    /// `block_severity` and `unscanned`; what isn't there stays as it is. Nil when neither is there.
    /// - Throws: ``APIError`` for a word that is no severity
    init?(_ fields: Fields, current: ScanPolicy) throws {
        let word = fields.text("block_severity")
        let unscanned = fields.text("unscanned").flatMap(UnscannedPolicy.init)
        guard word != nil || unscanned != nil else { return nil }
        let severity = word.flatMap { Severity(name: $0) }
        guard word == nil || severity != nil || word?.lowercased() == Self.noSeverity.lowercased() else {
            throw APIError.invalid("block_severity: expected one of \(Self.severities.joined(separator: ", "))")
        }
        self.init(
            blockSeverity: word == nil ? current.blockSeverity : severity,
            unscanned: unscanned ?? current.unscanned
        )
    }

    /// What the log tells of a change.
    var facts: [String: String] {
        ["block_severity": blockSeverity?.name ?? Self.noSeverity, "unscanned": unscanned.rawValue]
    }
}
