// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import HTTPTransport
import OCI
import Postgres
import TestSupport
import Testing

/// What load balancers and orchestrators see of a service.
@Suite("Health of a service")
struct HealthTests {
    private static let image = ImageFixture.single(seed: 11, size: 400_000)
    private let layer: ImageFixture.Blob

    init() throws { layer = try #require(Self.image.blobs.last) }

    /// Runs a deployment whose logs tell where it tells its health, over an upstream that stops inside the layer.
    private func withStalledLayer(_ body: (Deployment, Gate) async throws -> Void) async throws {
        let gate = Gate()
        try await ScriptedUpstream.with { upstream in
            defer { gate.open() }  // or nothing ends when something fails
            upstream.add(Self.image, to: "app", tag: "1")
            upstream.fault("GET /v2/app/blobs/\(layer.digest)", .stall(after: 200_000, gate))
            let environment = ["ENTREPOT_LOG_LEVEL": "debug"]
            try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 200)
                try await body(deployment, gate)
            }
        }
    }

    /// Tells a process to end while the layer is under way, sees it leave, and lets the layer arrive.
    private func expectDrained(
        _ process: TestProcess,
        _ deployment: Deployment,
        _ gate: Gate
    ) async throws {
        let health = try await process.internalClient()
        #expect(try await health.get("/readyz").status == 200)
        async let pull = deployment.registry.digest("/v2/cache/app/blobs/\(layer.digest)")
        try await eventually("the layer is under way") { gate.arrivals == 1 }
        process.kill(SIGTERM)
        var told: TestClient.Answer?
        try await eventually("\(process.name) isn't ready") {
            told = try await health.get("/readyz")
            return told?.status == 503
        }
        #expect(try await health.get("/livez").status == 200)
        gate.open()
        #expect(told?.text == "not ready: shutting down\n")
        let got = try await pull
        #expect(got.digest == layer.digest)
        #expect(got.size == layer.size)
        #expect(try await process.exitStatus() == 0)
    }

    @Test("a fetcher that was told to end isn't ready any more, is alive, and finishes what it has begun")
    func drainingFetcher() async throws {
        try await withStalledLayer { deployment, gate in
            try await expectDrained(deployment.fetchers[0], deployment, gate)
        }
    }

    @Test("a frontend that was told to end isn't ready any more, is alive, and sends its clients all they asked for")
    func drainingFrontend() async throws {
        try await withStalledLayer { deployment, gate in
            try await expectDrained(deployment.frontends[0], deployment, gate)
        }
    }

    @Test("services that have lost their storage are alive and not ready, and say what is missing, until it is back")
    func storageGone() async throws {
        try await Deployment.with([]) { deployment in
            try await deployment.addCollector()
            let processes = deployment.frontends + deployment.fetchers + deployment.keepers
            let blobs = deployment.storage.path + "/storage"
            for process in processes {
                let health = try await process.internalClient()
                try await eventually("it is ready") { try await health.get("/readyz").status == 200 }
                try FileManager.default.moveItem(atPath: blobs, toPath: blobs + ".away")
                try await eventually("it misses its storage") {
                    let answer = try await health.get("/readyz")
                    return answer.status == 503 && answer.text == "not ready: storage\n"
                }
                #expect(try await health.get("/livez").status == 200)
                try FileManager.default.moveItem(atPath: blobs + ".away", toPath: blobs)
                try await eventually("it is ready again") { try await health.get("/readyz").status == 200 }
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: blobs)
            #expect(!left.contains { $0.hasPrefix(".check") })
        }
    }

    @Test("services that have nothing to finish end by themselves, not when their time is over")
    func promptEnd() async throws {
        try await ScriptedUpstream.with { upstream in
            try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                try await deployment.addPruner()
                let services = deployment.frontends + deployment.fetchers + deployment.keepers
                for service in services {
                    service.kill(SIGTERM)
                    #expect(try await service.exitStatus() == 0)
                    #expect(!service.lines.contains { $0.contains("longer than allowed") }, "\(service.name)")
                }
            }
        }
    }

    @Test("a frontend that leaves says so before it stops accepting")
    func departure() async throws {
        let environment = ["ENTREPOT_SHUTDOWN_DELAY": "25s"]
        try await Deployment.with([], fetchers: 0, environment: environment) { deployment in
            let frontend = deployment.frontends[0]
            let health = try await frontend.internalClient()
            #expect(try await health.get("/readyz").status == 200)
            frontend.kill(SIGTERM)
            try await eventually("the frontend isn't ready") { try await health.get("/readyz").status == 503 }
            // A connection of its own.
            let late = TestClient(deployment.registry.base)
            #expect(try await late.get("/v2/").status == 401)
            #expect(try await frontend.exitStatus() == 0)
            await #expect(throws: HTTPTransportError.self) { try await TestClient(late.base).get("/v2/") }
        }
    }

    @Test("a service that has lost its database is alive and not ready, and says what is missing")
    func databaseGone() async throws {
        let environment = ["ENTREPOT_LOG_LEVEL": "debug"]
        try await Deployment.with([], environment: environment) { deployment in
            let query: Query = "SELECT current_database()"
            let database = try #require(try await deployment.client.query(query).decode(String.self).first)
            let services = [
                try await deployment.frontends[0].internalClient(),
                try await deployment.fetchers[0].internalClient(),
            ]
            for service in services {
                try await eventually("it is ready") { try await service.get("/readyz").status == 200 }
            }
            let server = try await PostgresCluster.shared().connectionString("postgres")
            let drop = "DROP DATABASE \(database) WITH (FORCE)"
            #expect(try await TestProcess("/usr/bin/env", ["psql", "-Xqc", drop, server]).exitStatus() == 0)
            for service in services {
                let answer = try await service.get("/readyz")
                #expect(answer.status == 503)
                #expect(answer.text == "not ready: database\n")
                #expect(try await service.get("/livez").status == 200)
            }
        }
    }

    @Test("`entrepot ready` says what a service says of itself, by its exit status too")
    func ready() async throws {
        let entrepot = try Executables.path("entrepot")
        let port = try freePort()
        let environment = ["ENTREPOT_INTERNAL_ADDRESS": "0.0.0.0:\(port)"]
        try await Deployment.with([], frontends: 0, environment: environment) { deployment in
            let well = try await TestProcess(entrepot, ["ready"], environment: environment)
            #expect(try await well.exitStatus() == 0)
            #expect(well.lines == ["ok"])

            let query: Query = "SELECT current_database()"
            let database = try #require(try await deployment.client.query(query).decode(String.self).first)
            let server = try await PostgresCluster.shared().connectionString("postgres")
            try await run("psql", ["-Xqc", "DROP DATABASE \(database) WITH (FORCE)", server])
            let ill = try await TestProcess(entrepot, ["ready", "127.0.0.1:\(port)"])
            #expect(try await ill.exitStatus() == 1)
            #expect(ill.lines == ["not ready: database"])
        }
        let closed = try ClosedPort()
        let silent = ["ENTREPOT_INTERNAL_ADDRESS": "0.0.0.0:\(closed.port)"]
        let nobody = try await TestProcess(entrepot, ["ready"], environment: silent)
        #expect(try await nobody.exitStatus() == 5)
        let unknown = try await TestProcess(entrepot, ["ready"])
        #expect(try await unknown.exitStatus() == 2, "the default takes any port")
    }
}
