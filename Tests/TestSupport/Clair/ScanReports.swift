// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A vulnerability that the double knows of.
package struct KnownVulnerability: Sendable, Hashable {
    package let name: String
    package let package: String
    package let severity: String
    package let fixedIn: String

    package init(_ name: String, in package: String, severity: String, fixedIn: String = "") {
        self.name = name
        self.package = package
        self.severity = severity
        self.fixedIn = fixedIn
    }
}

/// What the double has found out about an image.
struct IndexedImage {
    var state = "IndexFinished"
    var error = ""
    /// Packages by the layer that lists them last.
    var packages: [(package: DebianPackage, layer: String)] = []

    var isSuccessful: Bool { state == "IndexFinished" }

    func indexReport(_ digest: String) -> [String: Any] {
        var report = contents(digest)
        report["state"] = state
        report["success"] = isSuccessful
        report["err"] = error
        return report
    }

    /// With Clair's own looseness: `kind` in lower case, null where there is nothing, empty strings.
    func vulnerabilityReport(_ digest: String, _ known: [KnownVulnerability]) -> [String: Any] {
        var report = contents(digest)
        var vulnerabilities: [String: Any] = [:]
        var byPackage: [String: [String]] = [:]
        for (index, vulnerability) in known.enumerated() {
            let id = String(1_000 + index)
            for (number, found) in packages.enumerated() where found.package.name == vulnerability.package {
                byPackage[String(number + 1), default: []].append(id)
                vulnerabilities[id] = [
                    "id": id, "updater": "double", "name": vulnerability.name,
                    "description": "found in \(vulnerability.package)", "issued": "2024-01-01T00:00:00Z",
                    "links": "https://security-tracker.debian.org/tracker/\(vulnerability.name)", "severity": "",
                    "normalized_severity": vulnerability.severity, "fixed_in_version": vulnerability.fixedIn,
                    "package": ["id": "", "name": vulnerability.package, "version": "", "kind": "binary"],
                    "distribution": Self.distribution, "repository": [String: String](),
                ]
            }
        }
        report["vulnerabilities"] = vulnerabilities
        report["package_vulnerabilities"] = byPackage
        report["enrichments"] = [String: Any]()
        return report
    }

    private static let distribution: [String: String] = [
        "id": "1", "did": "debian", "name": "Debian GNU/Linux", "version": "12 (bookworm)",
        "version_code_name": "bookworm", "version_id": "12", "arch": "", "cpe": "",
        "pretty_name": "Debian GNU/Linux 12 (bookworm)",
    ]

    private func contents(_ digest: String) -> [String: Any] {
        var described: [String: Any] = [:]
        var environments: [String: Any] = [:]
        for (number, found) in packages.enumerated() {
            let id = String(number + 1)
            let (package, layer) = found
            let source: [String: Any] = [
                "id": "0", "name": package.source, "version": package.version, "kind": "source",
            ]
            let description: [String: Any] = [
                "id": id, "name": package.name, "version": package.version, "kind": "binary",
                "arch": package.architecture, "source": source,
            ]
            let environment: [String: Any] = [
                "package_db": "var/lib/dpkg/status", "introduced_in": layer, "distribution_id": "1",
                "repository_ids": NSNull(),
            ]
            described[id] = description
            environments[id] = [environment]
        }
        let distributions: [String: Any] = packages.isEmpty ? [:] : ["1": Self.distribution]
        return [
            "manifest_hash": digest, "packages": described, "environments": environments,
            "distributions": distributions, "repository": [String: Any](),
        ]
    }
}
