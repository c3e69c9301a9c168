// SPDX-License-Identifier: Apache-2.0

import Models

extension Fields {
    /// `block_severity` and `unscanned`; what isn't there stays as it is.
    /// - Returns: nil when neither is there
    /// - Throws: ``APIError``
    mutating func scanPolicy(current: ScanPolicy) throws -> ScanPolicy? {
        let severity = try string("block_severity")
        let unscanned = try string("unscanned")
        guard severity != nil || unscanned != nil else { return nil }
        var blocking = current.blockSeverity
        if let severity {
            blocking = Severity(name: severity)
            guard blocking != nil || severity == ScanPolicy.noSeverity else {
                let known = [ScanPolicy.noSeverity] + Severity.allCases.map(\.name)
                throw APIError.invalid("block_severity: expected one of \(known.joined(separator: ", "))")
            }
        }
        guard let policy = unscanned.map(UnscannedPolicy.init(rawValue:)) ?? current.unscanned else {
            throw APIError.invalid("unscanned: expected allow, wait or deny")
        }
        return ScanPolicy(blockSeverity: blocking, unscanned: policy)
    }
}

extension ScanPolicy {
    /// What `block_severity` says where no image is refused for its findings.
    static let noSeverity = "None"

    /// What the log tells of a change.
    var facts: [String: String] {
        ["block_severity": blockSeverity?.name ?? Self.noSeverity, "unscanned": unscanned.rawValue]
    }
}
