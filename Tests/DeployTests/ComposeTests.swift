// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing
import Yams

@testable import ServiceRuntime

/// What docker-compose.yml promises. `deploy/test-compose` proves it with containers.
@Suite("docker-compose.yml")
struct ComposeTests {
    private typealias Object = [String: Any]

    private let services: [String: [String: Any]]
    private let document: [String: Any]

    init() throws {
        let text = try String(contentsOfFile: Repository.root + "/docker-compose.yml", encoding: .utf8)
        document = try #require(try Yams.load(yaml: text) as? Object)
        services = try #require(document["services"] as? [String: Object])
    }

    private static let oneShots: Set<String> = ["migrate", "fetcher-key", "entrepot"]
    /// Services that run until they are stopped.
    private var lasting: [String: Object] { services.filter { !Self.oneShots.contains($0.key) } }

    private static func strings(_ value: Any?) -> [String] { value as? [String] ?? [] }

    private static func networks(_ service: Object) -> Set<String> { Set(strings(service["networks"])) }

    @Test("every service of the source tree runs, by its own name")
    func complete() throws {
        let programs = try String(contentsOfFile: Repository.root + "/Package.swift", encoding: .utf8)
            .matches(of: /\.executable\(name: "([a-z-]+)"/).map { String($0.1) }
            .filter { $0 != "scan-double" }  // for demonstrations: never deployed
        #expect(programs.count == 6)
        let image = try String(contentsOfFile: Repository.root + "/deploy/Dockerfile", encoding: .utf8)
        for program in programs {
            #expect(image.contains(" \(program)"), "the image has no \(program)")
            let service = try #require(services[program], "\(program) is no service")
            #expect(Self.strings(service["command"]).first == program || program == "entrepot")
        }
    }

    @Test("every service that lasts has a health check, and an end that is longer than the services' own")
    func health() throws {
        for (name, service) in lasting {
            let check = try #require(service["healthcheck"] as? Object, "\(name)")
            #expect(Self.strings(check["test"]).count > 1, "\(name)")
            #expect(check["interval"] != nil && check["timeout"] != nil && check["start_period"] != nil, "\(name)")
            if Self.strings(service["command"]).first == name {
                #expect(service["stop_grace_period"] as? String == "60s")
            }
        }
        let settings = try String(contentsOfFile: Repository.root + "/deploy/config.yaml", encoding: .utf8)
        #expect(settings.contains("\nSHUTDOWN_GRACE: 50s\n"))
    }

    @Test("only the proxy is published; what is for the operator, on this machine alone")
    func published() {
        for (name, service) in services {
            let ports = Self.strings(service["ports"])
            switch name {
            case "proxy": #expect(ports == ["${ENTREPOT_PUBLISH:-127.0.0.1:5080}:5080"])
            case "grafana":
                #expect(ports.count == 1)
                #expect(ports.first?.hasPrefix("127.0.0.1:") == true)
            default: #expect(ports.isEmpty, "\(name)")
            }
        }
    }

    @Test("only the fetcher reaches out; of the profiles, Clair does")
    func networks() throws {
        let networks = try #require(document["networks"] as? [String: Object])
        let inner = networks.filter { $0.value["internal"] as? Bool == true }.map(\.key)
        #expect(Set(inner) == ["inside", "scanner"])
        for (name, service) in services {
            let outer = Self.networks(service).subtracting(inner)
            #expect(!Self.networks(service).isEmpty, "\(name) would be in a network that leads out")
            switch name {
            case "upstream-fetcher": #expect(outer == ["egress"])
            case "clair": #expect(outer == ["scanner-egress"])
            // Clients come in by it.
            case "proxy", "grafana": #expect(outer == ["outside"])
            default: #expect(outer.isEmpty, "\(name): \(outer)")
            }
        }
        let clair = try #require(services["clair"])
        #expect(Self.networks(clair).isDisjoint(with: ["inside"]))
    }

    @Test("nobody has rights that it doesn't need")
    func rights() throws {
        for (name, service) in services {
            #expect(service["read_only"] as? Bool == true, "\(name)")
            #expect(Self.strings(service["cap_drop"]) == ["ALL"], "\(name)")
            #expect(Self.strings(service["security_opt"]) == ["no-new-privileges:true"], "\(name)")
            #expect(service["privileged"] == nil && service["cap_add"] == nil, "\(name)")
        }
        #expect(
            services["registry-frontend"].map { Self.strings($0["volumes"]) }?.contains(
                "blobs:/var/lib/entrepot/blobs:ro"
            ) == true
        )
        let image = try String(contentsOfFile: Repository.root + "/deploy/Dockerfile", encoding: .utf8)
        #expect(image.contains("\nUSER 10001:10001\n"))
    }

    @Test("secrets are files, and are given to those alone who need them")
    func secrets() throws {
        let declared = try #require(document["secrets"] as? [String: [String: String]])
        for (name, secret) in declared { #expect(secret == ["file": "./deploy/.secrets/\(name)"]) }
        var owners: [String: Set<String>] = [:]
        for (name, service) in services {
            for secret in Self.strings(service["secrets"]) { owners[secret, default: []].insert(name) }
            let environment = service["environment"] as? [String: Any] ?? [:]
            for key in environment.keys where key.contains("PASSWORD") || key.contains("DB_URI") {
                #expect(key.hasSuffix("_FILE"), "\(name): \(key)")
            }
        }
        #expect(Set(owners.keys) == Set(declared.keys))
        #expect(owners["database_password"] == ["postgres"])
        #expect(owners["admin_password"] == ["migrate", "entrepot", "grafana"])
        let keys = services.filter { Self.strings($0.value["volumes"]).contains { $0.hasPrefix("keys:") } }.map(\.key)
        #expect(Set(keys) == ["upstream-fetcher", "fetcher-key"])
    }

    @Test("PostgreSQL takes the connections of all processes, of three frontends as well")
    func connections() throws {
        let command = Self.strings(try #require(services["postgres"])["command"])
        let setting = "max_connections="
        let limit = try #require(
            command.first { $0.hasPrefix(setting) }.flatMap { Int($0.dropFirst(setting.count)) },
            "\(command)"
        )
        // As README's runbook has it: the pool, and eight for each process.
        let pool = try #require(Int(SharedSettings.databaseConnections.defaultValue))
        let programs = lasting.filter { $0.value["image"] as? String == "localhost/entrepot:latest" }
        let processes = programs.count + 2
        #expect(processes == 7)
        // Three are PostgreSQL's own, for its superuser.
        #expect(limit - 3 >= processes * (pool + 8))
    }

    @Test("what it mounts is there, every volume and network is declared, and Podman's reader takes it")
    func whole() async throws {
        let declared = Set(try #require(document["volumes"] as? Object).keys)
        let networks = Set(try #require(document["networks"] as? Object).keys)
        for (name, service) in services {
            #expect(Self.networks(service).isSubset(of: networks), "\(name)")
            for volume in Self.strings(service["volumes"]) {
                let source = String(try #require(volume.split(separator: ":").first))
                if source.hasPrefix("./") {
                    let path = Repository.root + source.dropFirst(1)
                    #expect(FileManager.default.fileExists(atPath: path), "\(name): \(source)")
                } else {
                    #expect(declared.contains(source), "\(name): \(source)")
                }
            }
        }
        let read = try await run(
            Checkers.path("podman-compose"),
            ["-f", Repository.root + "/docker-compose.yml", "--profile", "clair", "--profile", "metrics", "config"]
        )
        #expect(read.contains("registry-frontend:"))
    }
}
