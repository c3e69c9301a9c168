// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// What the scanner said, and what becomes of it.
@Suite("The stores of reports and notifications", .timeLimit(.minutes(2)))
struct ScanReportStoreTests {
    @Test("a report is kept with its summary, compressed, and told by repository, by manifest and by tag")
    func reports() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            let id = try await scene.complete(image)
            let packages = [
                ScannedPackage(
                    name: "p",
                    version: "1",
                    layer: "",
                    findings: [
                        ScanFinding(severity: .high, name: "CVE-1", fixedBy: "2"),
                        ScanFinding(severity: .low, name: "CVE-2"),
                    ]
                )
            ]
            let summary = ScanSummary(packages)
            let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "ClairTests/Fixtures")
            let text = try String(contentsOf: fixtures.appending(path: "vulnerabilityreport.json"), encoding: .utf8)
            try await scene.client.withTransaction { transaction in
                try await scene.reports.store(text, summary, of: id, on: transaction)
            }
            try await scene.record(ScanVerdict(state: .scanned, after: .seconds(86_400)), id)
            let size = try await scene.client.query("SELECT pg_column_size(report) FROM scan_report").decodeFirst(
                Int.self
            )
            #expect(try #require(size) < text.utf8.count / 4, "\(text.utf8.count) bytes are stored as \(size ?? 0)")

            let found = try await scene.reports.find(
                image.digest,
                repository: scene.stores.repository(),
                organization: scene.stores.organization,
                on: scene.client
            )
            #expect(found?.report == text && found?.summary == summary && found?.publicStatus == "scanned")
            let elsewhere = try await scene.reports.find(
                image.digest,
                repository: scene.stores.repository("library/other"),
                organization: scene.stores.organization,
                on: scene.client
            )
            #expect(elsewhere == nil)
            let standing = try #require(try await scene.reports.standing(of: id, on: scene.client))
            #expect(standing.hasReport && standing.worstFixable?.name == "CVE-1")

            let clean = ImageFixture.unique()
            let index = ImageFixture.index([image, clean])
            try await scene.store(index)
            try await scene.store(clean)
            let digests = [image, clean, index].map(\.digest.rawValue)
            func lines(in repository: String = "library/alpine") async throws -> [String: ScanLine] {
                try await scene.reports.summaries(
                    of: digests + ["sha256:0"],
                    repository: scene.stores.repository(repository),
                    organization: scene.stores.organization,
                    on: scene.client
                )
            }
            let own = try await lines()
            #expect(own.count == 3)
            #expect(own[digests[0]]?.summary == summary && own[digests[2]]?.summary == summary)
            #expect(own[digests[1]]?.publicStatus == "queued" && own[digests[1]]?.summary == nil)
            try await scene.stores.store(index, in: "library/other")
            #expect(try await lines(in: "library/other").isEmpty, "what another repository has isn't told")
            let overview = try await scene.reports.overview(on: scene.client)
            #expect(overview.images == [.scanned: 1])
        }
    }

    @Test("a notification that is told twice is one, and each page of it is done once")
    func notifications() async throws {
        try await ScanStores.with { scene in
            let id = UUID()
            let db = scene.client
            #expect(try await scene.notifications.receive(id, on: db))
            #expect(try await !scene.notifications.receive(id, on: db))
            #expect(try await scene.notifications.takeDue(limit: 10, pause: .seconds(60), on: db) == [id])
            #expect(try await scene.notifications.takeDue(limit: 10, pause: .seconds(60), on: db) == [])
            let start = try #require(try await scene.notifications.progress(of: id, on: db))
            #expect(start.nextPage == nil && start.pages == 0)
            #expect(try await scene.notifications.advance(id, from: start, to: "2", on: db))
            #expect(try await !scene.notifications.advance(id, from: start, to: "2", on: db))
            let second = try #require(try await scene.notifications.progress(of: id, on: db))
            #expect(second.nextPage == "2" && second.pages == 1)
            #expect(try await scene.notifications.advance(id, from: second, to: nil, on: db))
            #expect(try await scene.notifications.progress(of: id, on: db) == nil)
            #expect(try await !scene.notifications.receive(id, on: db))
            try await scene.notifications.clean(olderThan: .zero, on: db)
            #expect(try await scene.notifications.receive(id, on: db))
        }
    }

    @Test("places of an image name its live tags, and those of indexes that have it")
    func places() async throws {
        try await ScanStores.with { scene in
            let image = ImageFixture.unique()
            try await scene.stores.tag("one", image)
            try await scene.stores.tag("all", .index([image]))
            try await scene.stores.store(image, in: "library/other")
            let places = try await scene.notifications.places(of: [image.digest.rawValue], on: scene.client)
            #expect(places.map(\.repository) == ["library/alpine", "library/other"])
            #expect(places.map(\.tags) == [["all", "one"], []])
        }
    }

    @Test("an organization's policy is kept with it")
    func policy() async throws {
        try await ScanStores.with { scene in
            let organizations = scene.stores.organizations
            #expect(try await organizations.find(scene.stores.organization, on: scene.client)?.scanPolicy == .off)
            var settings = OrganizationSettings()
            settings.blockSeverity = .some(.high)
            settings.unscanned = .wait
            let isChanged = try await organizations.change(settings, of: scene.stores.organization, on: scene.client)
            #expect(isChanged)
            #expect(
                try await organizations.find(scene.stores.organization, on: scene.client)?.scanPolicy
                    == ScanPolicy(blockSeverity: .high, unscanned: .wait)
            )
        }
    }
}
