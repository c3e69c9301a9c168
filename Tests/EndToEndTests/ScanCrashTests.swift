// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI
import Postgres
import TestSupport
import Testing

/// Dispatchers that end in the middle of their work.
@Suite struct ScanCrashTests {
    /// Where a dispatcher is held up, on its way from an image that is complete to its report.
    enum Obstacle: Sendable, CaseIterable {
        /// Before the image is taken, before its job is queued, before the report is written down.
        case imageRow, jobRow, reportRow
        /// While the scanner looks into it, and while it answers with the report.
        case indexing, reporting

        var table: String? {
            switch self {
            case .imageRow: "manifest_scan"
            case .jobRow: "job"
            case .reportRow: "scan_report"
            case .indexing, .reporting: nil
            }
        }
    }

    /// Who falls silent is soon given up.
    private static var quick: [String: String] { ScanScene.keyed.merging(["ENTREPOT_SCAN_LEASE": "5s"]) { $1 } }

    @Test("a dispatcher that is killed anywhere on its way loses no image, and what has arrived isn't sent again")
    func killed() async throws {
        try await ScanScene.with(dispatchers: 0, environment: Self.quick) { scene in
            let client = scene.deployment.client
            func startAndKill(_ isHeldUp: () async throws -> Bool) async throws {
                try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
                try await eventually("the dispatcher is held up", isHeldUp)
                try await scene.killDispatcher()
            }
            for obstacle in Obstacle.allCases {
                let image = try await ScanScene.image("\(obstacle)")
                scene.upstream.add(image, to: "a/b", tag: "\(obstacle)")
                #expect(try await scene.pull("\(obstacle)").status == 200)
                try await eventually("it is complete") { try await scene.state(of: image) == "queued" }
                if let table = obstacle.table {
                    try await client.withTransaction { transaction in
                        try await transaction.query("LOCK TABLE \(unescaped: table) IN SHARE MODE")
                        try await startAndKill {
                            try await !client.query(
                                """
                                SELECT 1 FROM pg_stat_activity
                                WHERE application_name = 'scan-dispatcher' AND datname = current_database()
                                    AND cardinality(pg_blocking_pids(pid)) > 0 AND query LIKE \("%" + table + "%")
                                """
                            ).isEmpty
                        }
                    }
                } else {
                    let gate = Gate()
                    scene.scanner.fault(obstacle == .indexing ? "POST /indexer" : "GET /matcher", .hold(gate), times: 1)
                    try await startAndKill { gate.arrivals == 1 }
                    gate.open()
                    try await eventually("it has arrived") {
                        scene.scanner.indexed.contains(image.digest.rawValue)
                    }
                }
                try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
                try await scene.isScanned(image)
                #expect(scene.sent(image) == 1, "\(obstacle)")
                // Whoever finds that it was sent asks before anything else.
                let asked = scene.scanner.count("GET /indexer/api/v1/index_report/\(image.digest)")
                #expect([.imageRow, .jobRow].contains(obstacle) ? asked == 0 : asked >= 1, "\(obstacle)")
                try await scene.killDispatcher()
            }
        }
    }

    @Test("a dispatcher that is killed while the scanner fails: whoever comes next sends the image once more")
    func lost() async throws {
        try await ScanScene.with(environment: Self.quick) { scene in
            let image = try await ScanScene.image("lost")
            let gate = Gate()
            scene.scanner.fault("POST /indexer", .hold(gate), times: 1)
            scene.upstream.add(image, to: "a/b", tag: "l")
            #expect(try await scene.pull("l").status == 200)
            try await eventually("the scanner holds it") { gate.arrivals == 1 }
            try await scene.killDispatcher()
            try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
            try await scene.isScanned(image)
            #expect(scene.sent(image) == 2)
            gate.open()
        }
    }

    @Test("a dispatcher that is asked to end hands its images to another one at once")
    func handedOver() async throws {
        var environment = ScanScene.keyed
        environment["ENTREPOT_SHUTDOWN_GRACE"] = "10s"
        // Only a hand-over ends this in time.
        environment["ENTREPOT_SCAN_LEASE"] = "600s"
        let image = try await ScanScene.image("handed over")
        try await ScanScene.with(environment: environment) { scene in
            let gate = Gate()
            scene.scanner.fault("GET /matcher", .hold(gate), times: 1)
            scene.upstream.add(image, to: "a/b", tag: "t")
            #expect(try await scene.pull("t").status == 200)
            try await eventually("the scanner holds it") { gate.arrivals == 1 }
            try await scene.deployment.addDispatcher(scanner: scene.scanner.url)
            #expect(try await scene.deployment.dispatchers[0].stop(SIGTERM) == 0)
            try await scene.isScanned(image)
            #expect(scene.sent(image) == 1)
            gate.open()
        }
    }
}
