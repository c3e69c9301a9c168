// SPDX-License-Identifier: Apache-2.0

/// A vulnerability of a package of an image, as a scanner reported it.
package struct ScanFinding: Sendable, Hashable, Codable {
    /// What scores say where the scanner itself has no word for it.
    package var severity: Severity
    /// `CVE-2024-1234`, or the name of an advisory.
    package var name: String
    package var description: String
    /// URLs, separated by spaces.
    package var links: String
    /// The database that knows of it.
    package var updater: String
    /// Version that has it no more; empty for none.
    package var fixedBy: String
    package var repositoryName: String?
    package var repositoryURI: String?
    package var distributionName: String?
    package var distributionVersion: String?
    /// Of the highest score.
    package var cvssVector: String?
    /// 0 to 10; nil where nobody gave one.
    package var cvssScore: Double?

    package init(
        severity: Severity,
        name: String,
        description: String = "",
        links: String = "",
        updater: String = "",
        fixedBy: String = ""
    ) {
        self.severity = severity
        self.name = name
        self.description = description
        self.links = links
        self.updater = updater
        self.fixedBy = fixedBy
    }

    package var isFixable: Bool { !fixedBy.isEmpty }
}

/// A package that a scanner found in an image, with what is wrong with it.
package struct ScannedPackage: Sendable, Hashable, Codable {
    package let name: String
    package let version: String
    /// Digest of the layer that brought it, as the scanner writes it; empty if it doesn't say.
    package let layer: String
    package var findings: [ScanFinding]

    package init(name: String, version: String, layer: String, findings: [ScanFinding] = []) {
        self.name = name
        self.version = version
        self.layer = layer
        self.findings = findings
    }
}

/// What there is to say of a report in a line.
package struct ScanSummary: Sendable, Hashable, Codable {
    /// The finding that is named when an image is refused: the worst one that a newer version ends.
    package struct Fixable: Sendable, Hashable, Codable {
        package let severity: Severity
        package let name: String
        package let package: String
        package let version: String
        package let fixedBy: String

        package init(severity: Severity, name: String, package: String, version: String, fixedBy: String) {
            self.severity = severity
            self.name = name
            self.package = package
            self.version = version
            self.fixedBy = fixedBy
        }
    }

    package let packages: Int
    /// Findings by severity, from unknown to critical.
    package let counts: [Int]
    /// Of these, those that a newer version ends.
    package let fixable: [Int]
    package let worstFixable: Fixable?

    package init(packages: Int, counts: [Int], fixable: [Int], worstFixable: Fixable?) {
        self.packages = packages
        self.counts = counts
        self.fixable = fixable
        self.worstFixable = worstFixable
    }

    package init(_ packages: [ScannedPackage]) {
        var counts = Severity.allCases.map { _ in 0 }
        var fixable = counts
        var worst: Fixable?
        for package in packages {
            for finding in package.findings {
                counts[finding.severity.rawValue] += 1
                guard finding.isFixable else { continue }
                fixable[finding.severity.rawValue] += 1
                guard worst.map({ finding.severity > $0.severity }) ?? true else { continue }
                worst = Fixable(
                    severity: finding.severity,
                    name: finding.name,
                    package: package.name,
                    version: package.version,
                    fixedBy: finding.fixedBy
                )
            }
        }
        self.init(packages: packages.count, counts: counts, fixable: fixable, worstFixable: worst)
    }

    package func count(_ severity: Severity) -> Int { counts[severity.rawValue] }

    package var total: Int { counts.reduce(0, +) }

    package var totalFixable: Int { fixable.reduce(0, +) }

    /// Nil when nothing was found.
    package var worst: Severity? { Severity.allCases.last { count($0) > 0 } }
}
