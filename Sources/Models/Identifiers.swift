// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// A one-field id: the primary key of a row, typed so that keys of different tables can't be mixed up.
package protocol RowID: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible
where RawValue == Int64 {}

extension RowID {
    package var description: String { String(rawValue) }
}

package struct OrganizationID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct RepositoryID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct ManifestID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct TagID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct JobID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct AccountID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct AccessTokenID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct QuotaID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

package struct QuotaThresholdID: RowID {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }
}

/// Names one physical copy of a blob. Every fetch makes a new one, so that a slow delete of an old copy
/// can never hit a fresh one.
package struct Generation: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }

    /// A generation that no copy has had before.
    package init() { self.init(rawValue: UUID()) }

    /// The lower-case form that file names carry. Nil when the text is no UUID.
    package init?(_ text: some StringProtocol) {
        guard let uuid = UUID(uuidString: String(text)) else { return nil }
        self.init(rawValue: uuid)
    }

    package var description: String { rawValue.uuidString.lowercased() }
}
