// SPDX-License-Identifier: Apache-2.0

/// How much an organization may cache.
package struct Quota: Sendable, Hashable {
    package let id: QuotaID
    package let limitBytes: Int64
    /// By type, then by percent.
    package let thresholds: [QuotaThreshold]

    package init(id: QuotaID, limitBytes: Int64, thresholds: [QuotaThreshold] = []) {
        self.id = id
        self.limitBytes = limitBytes
        self.thresholds = thresholds
    }
}

/// What happens when usage reaches a part of the limit.
package struct QuotaThreshold: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Somebody is told.
        case warning = "Warning"
        /// Nothing new is cached.
        case reject = "Reject"

        /// Reads it as clients write it: in any case.
        package init?(text: String) {
            guard let kind = Self.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
                return nil
            }
            self = kind
        }
    }

    package let id: QuotaThresholdID
    package let kind: Kind
    package let percent: Int

    package init(id: QuotaThresholdID, kind: Kind, percent: Int) {
        self.id = id
        self.kind = kind
        self.percent = percent
    }

    /// Bytes of usage at which it is reached; rounded up, so that 100 % is the limit itself.
    package func bytes(of limit: Int64) -> Int64 {
        let (quotient, remainder) = limit.quotientAndRemainder(dividingBy: 100)
        return quotient * Int64(percent) + (remainder * Int64(percent) + 99) / 100
    }
}
