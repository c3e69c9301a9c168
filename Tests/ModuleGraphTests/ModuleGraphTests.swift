// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Imports only point down. The table is the architecture; a new import is a decision that is made here first.
@Suite("Module graph")
struct ModuleGraphTests {
    /// Modules of this package that each of its modules may import.
    private static let allowed: [String: Set<String>] = [
        // foundations
        "Waiting": [],
        "Postgres": ["CLibPQ", "Waiting"],
        "Addresses": [],
        "HTTPTransport": ["Addresses", "CCurl"],
        "OCI": [],
        "Traces": ["HTTPTransport", "Waiting"],
        // domain
        "Models": ["OCI"],
        "Sealing": ["Models"],
        // adapters
        "Metadata": ["Models", "OCI", "Postgres"],
        "Jobs": ["Models", "OCI", "Postgres", "Waiting"],
        "Blobs": ["CLinux", "Models", "OCI"],
        "Upstream": ["HTTPTransport", "Models", "OCI"],
        "Clair": ["HTTPTransport", "Models"],
        // shared flow
        "PullThrough": ["Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "Waiting"],
        "Accounts": ["Addresses", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough"],
        "Notices": ["HTTPTransport", "Jobs", "Models"],
        "ServiceRuntime": ["HTTPTransport", "Jobs", "Metadata", "Models", "Postgres", "Traces", "Waiting"],
        // services
        "Frontend": [
            "Accounts", "Addresses", "Blobs", "Clair", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough",
            "Waiting",
        ],
        "Fetcher": [
            "Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", "Sealing", "Upstream", "Waiting",
        ],
        "Management": [
            "Accounts", "Blobs", "Clair", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", "Sealing",
        ],
        "Scanning": [
            "Accounts", "Clair", "HTTPTransport", "Jobs", "Metadata", "Models", "Notices", "OCI", "Postgres",
            "PullThrough", "Waiting",
        ],
        "Pruning": ["HTTPTransport", "Jobs", "Metadata", "Models", "Notices", "Postgres", "PullThrough", "Waiting"],
        "Collection": ["Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough"],
        "Operations": ["Jobs", "Metadata", "Models", "OCI", "Postgres"],
        "Supervision": ["Waiting"],
        // programs
        "FrontendProgram": [
            "Accounts", "Addresses", "Blobs", "Clair", "Frontend", "Jobs", "Management", "Models", "OCI", "Postgres",
            "PullThrough",
            "ServiceRuntime",
        ],
        "FetcherProgram": [
            "Blobs", "Fetcher", "HTTPTransport", "Postgres", "PullThrough", "Sealing", "ServiceRuntime", "Upstream",
        ],
        "DispatcherProgram": [
            "Clair", "HTTPTransport", "Models", "Notices", "Postgres", "PullThrough", "Scanning", "ServiceRuntime",
        ],
        "PrunerProgram": ["HTTPTransport", "Notices", "Postgres", "Pruning", "PullThrough", "ServiceRuntime"],
        "CollectorProgram": ["Blobs", "Collection", "Metadata", "Models", "Postgres", "ServiceRuntime"],
        // executables
        "RegistryFrontend": ["FrontendProgram", "ServiceRuntime"],
        "UpstreamFetcher": ["FetcherProgram", "ServiceRuntime"],
        "ScanDispatcher": ["DispatcherProgram", "ServiceRuntime"],
        "QuotaPruner": ["PrunerProgram", "ServiceRuntime"],
        "GarbageCollector": ["CollectorProgram", "ServiceRuntime"],
        "Entrepot": [
            "Accounts", "CollectorProgram", "DispatcherProgram", "FetcherProgram", "FrontendProgram", "HTTPTransport",
            "Jobs", "Metadata", "Models", "OCI", "Operations", "Postgres", "PrunerProgram", "Sealing",
            "ServiceRuntime", "Supervision", "Waiting",
        ],
    ]

    private static let sources = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Sources")

    private static let rooms = ["", "Services", "Programs", "Executables"]

    /// Module names and the folders of their sources.
    private static func modules() throws -> [String: URL] {
        var modules: [String: URL] = [:]
        for room in rooms {
            let folder = room.isEmpty ? sources : sources.appending(path: room)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where !rooms.contains(name) {
                modules[name] = folder.appending(path: name)
            }
        }
        return modules
    }

    private static func imports(in folder: URL) throws -> Set<String> {
        var found: Set<String> = []
        let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".swift") }
        for file in files {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            for line in text.split(separator: "\n") {
                // Attributes, an access level, `import`, the kind of what is imported, and the module.
                let pattern =
                    /^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:\w+\s+)?import\s+(?:(?:struct|class|enum|protocol|func|typealias|let|var)\s+)?(\w+)/
                if let match = line.firstMatch(of: pattern) { found.insert(String(match.1)) }
            }
        }
        return found
    }

    @Test("every module imports only what the table allows")
    func importsPointDown() throws {
        let modules = try Self.modules()
        for (name, folder) in modules where !["CLibPQ", "CCurl", "CLinux"].contains(name) {
            let allowed = try #require(Self.allowed[name], "module \(name) isn't in the table")
            let ours = try Self.imports(in: folder).intersection(modules.keys)
            let extra = ours.subtracting(allowed).sorted()
            #expect(extra.isEmpty, "\(name) imports \(extra)")
        }
    }

    @Test("the table names no module that doesn't exist")
    func tableIsCurrent() throws {
        let modules = try Self.modules()
        #expect(Set(Self.allowed.keys).subtracting(modules.keys).isEmpty)
    }

    @Test("services never import each other")
    func servicesAreApart() throws {
        let modules = try Self.modules()
        let services = modules.filter { $0.value.deletingLastPathComponent().lastPathComponent == "Services" }
        #expect(services.count >= 3)
        for (name, folder) in services {
            let others = try Self.imports(in: folder).intersection(services.keys).subtracting([name])
            #expect(others.isEmpty, "\(name) imports \(others.sorted())")
        }
    }

    @Test("only the libpq and libcurl layers touch C")
    func onlyFoundationsTouchC() throws {
        for (name, folder) in try Self.modules() {
            let imports = try Self.imports(in: folder)
            if name != "Postgres" { #expect(!imports.contains("CLibPQ"), "\(name) imports CLibPQ") }
            if name != "HTTPTransport" { #expect(!imports.contains("CCurl"), "\(name) imports CCurl") }
            if name != "Blobs" { #expect(!imports.contains("CLinux"), "\(name) imports CLinux") }
        }
    }
}
