// SPDX-License-Identifier: Apache-2.0

import Clair
import Foundation
import Hummingbird
import Metadata
import Models
import OCI
import Postgres

/// What the vulnerability scanner says of an image, in the model's path and JSON.
struct SecurityRoutes: Sendable {
    let client: PostgresClient
    private let reports = ScanReportStore()

    init(client: PostgresClient) { self.client = client }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "repository/{repository}/manifest/{digest}/security",
                "getManifestSecurity",
                "What the scanner says of an image.",
                .pull,
                query: [
                    Schema.may("vulnerabilities", .flag, "The model's: whether they are wanted; they are always there.")
                ],
                .ok([Schema.has("status", .text()), Schema.has("data", .nullable(.map(.anything)))])
            ) { call in
                guard let digest = Digest(rawValue: try call.parameter("digest")) else {
                    throw APIError.notFound("there is no such manifest in the cache")
                }
                return try await reply(digest, repository: call.repository, organization: call.organization.id)
            }
        ]
    }

    /// What there is to say to somebody who may pull. The query says whether vulnerabilities are wanted, and like the
    /// model's reply this one always has them.
    /// - Parameter repository: canonical name inside the organization
    /// - Throws: ``APIError`` 404 for what the repository hasn't
    func reply(
        _ digest: Digest,
        repository: RepositoryName,
        organization: OrganizationID
    ) async throws -> Response {
        let found = try await reports.find(digest, repository: repository, organization: organization, on: client)
        guard let found else { throw APIError.notFound("there is no such manifest in the cache") }
        return try APIReply.json(SecurityView(found, digest: digest))
    }
}

/// The model's JSON of a report.
struct SecurityView: Encodable {
    struct Payload: Encodable { let Layer: LayerView }

    struct LayerView: Encodable {
        let Name: String
        var ParentName = ""
        var NamespaceName = ""
        var IndexedByVersion = 4
        let Features: [Feature]
    }

    struct Feature: Encodable {
        let Name: String
        var VersionFormat = ""
        var NamespaceName = ""
        let AddedBy: String
        let Version: String
        let BaseScores: [Double]
        let CVEIds: [String]
        let Vulnerabilities: [Vulnerability]
    }

    struct Vulnerability: Encodable {
        let Severity: String
        let NamespaceName: String
        let Link: String
        let FixedBy: String
        let Description: String
        let Name: String
        let Metadata: Details
    }

    struct Details: Encodable {
        let UpdatedBy: String
        let RepoName: String?
        let RepoLink: String?
        let DistroName: String?
        let DistroVersion: String?
        let NVD: [String: Scores]

        private enum Keys: String, CodingKey { case UpdatedBy, RepoName, RepoLink, DistroName, DistroVersion, NVD }

        /// What isn't known is null, and not left out.
        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: Keys.self)
            try values.encode(UpdatedBy, forKey: .UpdatedBy)
            try values.encode(RepoName, forKey: .RepoName)
            try values.encode(RepoLink, forKey: .RepoLink)
            try values.encode(DistroName, forKey: .DistroName)
            try values.encode(DistroVersion, forKey: .DistroVersion)
            try values.encode(NVD, forKey: .NVD)
        }
    }

    /// Of no score both are empty strings.
    struct Scores: Encodable {
        let vectors: String?
        let score: Double?

        private enum Keys: String, CodingKey { case Vectors, Score }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: Keys.self)
            try values.encode(vectors ?? "", forKey: .Vectors)
            if let score { try values.encode(score, forKey: .Score) } else { try values.encode("", forKey: .Score) }
        }
    }

    let status: String
    let data: Payload?

    private enum Keys: String, CodingKey { case status, data }

    /// - Throws: ``ScanFailure`` for a stored report that can't be read
    init(_ scan: ImageScan, digest: Digest) throws {
        status = scan.publicStatus
        data = try scan.report.map { text in
            Payload(Layer: try Self.layer(VulnerabilityReport(json: Data(text.utf8)), named: digest.rawValue))
        }
    }

    static func layer(_ report: VulnerabilityReport, named name: String) -> LayerView {
        LayerView(Name: name, Features: report.scannedPackages.map(feature))
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Keys.self)
        try values.encode(status, forKey: .status)
        try values.encode(data, forKey: .data)
    }

    private static func feature(_ package: ScannedPackage) -> Feature {
        Feature(
            Name: package.name,
            AddedBy: package.layer,
            Version: package.version,
            BaseScores: package.findings.compactMap(\.cvssScore),
            CVEIds: Set(package.findings.flatMap { identifiers(in: $0.links) }).sorted(),
            Vulnerabilities: package.findings.map(vulnerability)
        )
    }

    private static func vulnerability(_ finding: ScanFinding) -> Vulnerability {
        Vulnerability(
            Severity: finding.severity.name,
            NamespaceName: finding.updater,
            Link: finding.links,
            FixedBy: finding.fixedBy,
            Description: finding.description,
            Name: finding.name,
            Metadata: Details(
                UpdatedBy: finding.updater,
                RepoName: finding.repositoryName,
                RepoLink: finding.repositoryURI,
                DistroName: finding.distributionName,
                DistroVersion: finding.distributionVersion,
                NVD: ["CVSSv3": Scores(vectors: finding.cvssVector, score: finding.cvssScore)]
            )
        )
    }

    /// `CVE-YEAR-NUMBER`, as links name them.
    private static func identifiers(in links: String) -> [String] {
        links.matches(of: /CVE-\d{4}-\d{4,}/).map { String($0.output) }
    }
}
