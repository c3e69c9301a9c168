// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A package that `var/lib/dpkg/status` lists as installed.
package struct DebianPackage: Sendable, Hashable {
    package let name: String
    package let version: String
    package let architecture: String
    /// Name of the source package.
    package let source: String

    /// Reads the file's text.
    package static func parse(_ status: String) -> [DebianPackage] {
        status.split(separator: "\n\n").compactMap { stanza in
            var fields: [Substring: String] = [:]
            for line in stanza.split(separator: "\n") {
                // Continued lines are of fields that don't matter here.
                guard !line.hasPrefix(" "), let colon = line.firstIndex(of: ":") else { continue }
                fields[line[..<colon]] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            }
            guard let name = fields["Package"], let version = fields["Version"],
                fields["Status"]?.hasSuffix(" installed") == true
            else { return nil }
            return DebianPackage(
                name: name,
                version: version,
                architecture: fields["Architecture"] ?? "",
                source: fields["Source"].map { String($0.prefix { $0 != " " }) } ?? name
            )
        }
    }
}
