// SPDX-License-Identifier: Apache-2.0

package import Models

/// A page of what Clair's notifier has to tell, read leniently.
package struct NotificationPage: Decodable, Sendable {
    package struct Item: Decodable, Sendable {
        /// Digest of the image.
        package let manifest: String
        /// `added`, `removed` or `changed`.
        package let reason: String
        package let finding: ScanFinding
        /// Name and version of the package, where it is told.
        package let packageName: String
        package let packageVersion: String

        private enum CodingKeys: String, CodingKey { case manifest, reason, vulnerability }

        package init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            manifest = try values.decode(String.self, forKey: .manifest)
            let reason: String? = values.lenient(.reason)
            self.reason = (reason ?? "").lowercased()
            let summary: Summary? = values.lenient(.vulnerability)
            finding = ScanFinding(
                severity: summary?.severity ?? .unknown,
                name: summary?.name ?? "",
                description: summary?.description ?? "",
                links: summary?.links ?? "",
                fixedBy: VulnerabilityReport.fixedVersion(summary?.fixedIn ?? "")
            )
            packageName = summary?.package?.name ?? ""
            packageVersion = summary?.package?.version ?? ""
        }
    }

    private struct Summary: Decodable {
        let name: String
        let description: String
        let links: String
        let fixedIn: String
        let severity: Severity
        let package: VulnerabilityReport.Package?

        enum CodingKeys: String, CodingKey {
            case name, description, links, severity, package
            case fixedIn = "fixed_in_version"
            case normalized = "normalized_severity"
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            name = values.lenient(.name) ?? ""
            description = values.lenient(.description) ?? ""
            links = values.lenient(.links) ?? ""
            fixedIn = values.lenient(.fixedIn) ?? ""
            // The schema has the one field, the program sends the other.
            let words: [String?] = [values.lenient(.normalized), values.lenient(.severity)]
            severity = words.lazy.compactMap { $0.flatMap(Severity.init(name:)) }.first ?? .unknown
            package = values.lenient(.package)
        }
    }

    private struct Page: Decodable {
        let next: String?

        enum CodingKeys: String, CodingKey { case next }

        init(from decoder: any Decoder) throws {
            let text: String? = try decoder.container(keyedBy: CodingKeys.self).lenient(.next)
            next = text?.isEmpty == false ? text : nil
        }
    }

    package let items: [Item]
    /// What asks for the next page; nil on the last one.
    package let next: String?

    private enum CodingKeys: String, CodingKey { case page, notifications }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        next = try values.decode(Page.self, forKey: .page).next
        items = values.lenientList(.notifications)
    }
}
