// SPDX-License-Identifier: Apache-2.0

import Models

extension ScanPolicy {
    /// What `block_severity` says where no image is refused for its findings.
    static let noSeverity = "None"
    static let severities = [noSeverity] + Severity.allCases.map(\.name)
}

extension OrganizationSettings {
    /// What a body says, all of it checked.
    /// - Throws: ``APIError`` for a word that is no severity
    init(_ fields: Fields) throws {
        self.init()
        isPublic = fields.flag("public_pull")
        if fields.has("time_machine_s") || fields.has("tag_expiration_s") {
            timeMachineSeconds = .some(fields.integer("time_machine_s") ?? fields.integer("tag_expiration_s"))
        }
        keepsPruned = fields.flag("keeps_pruned")
        if let word = fields.text("block_severity") {
            let severity = Severity(name: word)
            guard severity != nil || word.lowercased() == ScanPolicy.noSeverity.lowercased() else {
                let known = ScanPolicy.severities.joined(separator: ", ")
                throw APIError.invalid("block_severity: expected one of \(known)")
            }
            blockSeverity = .some(severity)
        }
        unscanned = fields.text("unscanned").flatMap(UnscannedPolicy.init)
    }

    /// What the log tells of a change.
    var changes: [(kind: LogKind, facts: [String: String])] {
        var changes: [(kind: LogKind, facts: [String: String])] = []
        if let isPublic {
            changes.append((kind: .changeVisibility, facts: ["visibility": isPublic ? "public" : "private"]))
        }
        if let timeMachineSeconds {
            let length = timeMachineSeconds.map { "\($0)s" } ?? "default"
            changes.append((kind: .changeTimeMachine, facts: ["tag_expiration": length]))
        }
        if let keepsPruned {
            changes.append((kind: .changeTimeMachine, facts: ["keeps_pruned": "\(keepsPruned)"]))
        }
        var policy: [String: String] = [:]
        if let blockSeverity { policy["block_severity"] = blockSeverity?.name ?? ScanPolicy.noSeverity }
        if let unscanned { policy["unscanned"] = unscanned.rawValue }
        if !policy.isEmpty { changes.append((kind: .changeScanPolicy, facts: policy)) }
        return changes
    }
}
