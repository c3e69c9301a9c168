// SPDX-License-Identifier: Apache-2.0

package import Postgres

extension PostgresConfiguration {
    /// Itself. The connection string may hold a password, so no word of it is told.
    /// - Parameter source: where the connection string is from
    /// - Throws: ``SettingsError`` when it is none
    package func checked(from source: String) throws -> Self {
        guard isWellFormed else {
            throw SettingsError(
                "\(source): expected a connection string: postgres://HOST/DATABASE, or words such as host=HOST dbname=DATABASE"
            )
        }
        return self
    }
}
