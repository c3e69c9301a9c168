// SPDX-License-Identifier: Apache-2.0

import Models

extension ScanPolicy {
    /// What `block_severity` says where no image is refused for its findings.
    static let noSeverity = "None"
    static let severities = [noSeverity] + Severity.allCases.map(\.name)

    /// `block_severity` and `unscanned`; what isn't there stays as it is. Nil when neither is there.
    init?(_ fields: Fields, current: ScanPolicy) {
        let severity = fields.text("block_severity")
        let unscanned = fields.text("unscanned").flatMap(UnscannedPolicy.init)
        guard severity != nil || unscanned != nil else { return nil }
        self.init(
            blockSeverity: severity.map { Severity(name: $0) } ?? current.blockSeverity,
            unscanned: unscanned ?? current.unscanned
        )
    }

    /// What the log tells of a change.
    var facts: [String: String] {
        ["block_severity": blockSeverity?.name ?? Self.noSeverity, "unscanned": unscanned.rawValue]
    }
}
