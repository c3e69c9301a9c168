// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

// Products of other packages, named once.
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let jwt: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHTTPTypes: Target.Dependency = .product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1: Target.Dependency = .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let nioHTTPTypesHTTP2: Target.Dependency = .product(name: "NIOHTTPTypesHTTP2", package: "swift-nio-extras")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let serviceLifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let tracing: Target.Dependency = .product(name: "Tracing", package: "swift-distributed-tracing")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

func library(
    _ name: String,
    path: String? = nil,
    _ dependencies: [Target.Dependency],
    exclude: [String] = [],
    resources: [Resource]? = nil
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: path,
        exclude: exclude,
        resources: resources,
        swiftSettings: settings
    )
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    library(name, path: "Sources/Programs/\(name)", dependencies + ["ServiceRuntime"])
}

func executable(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        path: "Sources/Executables/\(name)",
        swiftSettings: settings
    )
}

func tests(
    _ name: String,
    _ dependencies: [Target.Dependency],
    exclude: [String] = [],
    resources: [Resource]? = nil
) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies + ["TestSupport"],
        path: "Tests/\(name)",
        exclude: exclude,
        resources: resources,
        swiftSettings: settings
    )
}

/// Building these tests builds the programs that they start.
let executables: [Target.Dependency] = [
    "RegistryFrontend", "UpstreamFetcher", "QuotaPruner", "GarbageCollector", "ScanDispatcher", "Entrepot",
]

let package = Package(
    name: "entrepot",
    products: [
        .executable(name: "registry-frontend", targets: ["RegistryFrontend"]),
        .executable(name: "upstream-fetcher", targets: ["UpstreamFetcher"]),
        .executable(name: "scan-dispatcher", targets: ["ScanDispatcher"]),
        .executable(name: "quota-pruner", targets: ["QuotaPruner"]),
        .executable(name: "garbage-collector", targets: ["GarbageCollector"]),
        .executable(name: "entrepot", targets: ["Entrepot"]),
        .executable(name: "scan-double", targets: ["ScanDoubleProgram"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // C: headers of the system's libraries, nothing else.
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLinux"),

        // Foundations: know nothing of the product.
        library("Waiting", []),
        library("Postgres", ["CLibPQ", "Waiting", logging, metrics, serviceLifecycle]),
        library("Addresses", []),
        library("HTTPTransport", ["Addresses", "CCurl", httpTypes, logging]),
        library("OCI", [crypto, httpTypes]),
        library(
            "Traces",
            ["HTTPTransport", "Waiting", httpTypes, logging, metrics, serviceLifecycle, tracing]
        ),

        // Domain: values and rules, no I/O.
        library("Models", ["OCI", tracing]),

        // What only fetchers can read.
        library("Sealing", ["Models", crypto]),

        // Adapters: each one reaches one thing outside the process.
        library("Metadata", ["Models", "OCI", "Postgres", crypto], resources: [.embedInCode("Migrations")]),
        library(
            "Jobs",
            ["Models", "Postgres", "Waiting", logging, metrics, serviceLifecycle, tracing],
            exclude: ["README.md"]
        ),
        library("Blobs", ["CLinux", "Models", "OCI", logging, metrics, serviceLifecycle]),
        library("Upstream", ["HTTPTransport", "Models", "OCI", httpTypes, logging, metrics, tracing]),
        library("Clair", ["HTTPTransport", "Models", httpTypes, jwt]),

        // Shared flow.
        library(
            "PullThrough",
            [
                "Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "Waiting", logging, metrics, serviceLifecycle,
                tracing,
            ]
        ),
        library(
            "Accounts",
            [
                "Addresses", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", crypto, cryptoExtras, jwt,
                logging, serviceLifecycle,
            ]
        ),
        library("Notices", ["HTTPTransport", "Jobs", "Models", crypto, httpTypes, logging]),
        library(
            "ServiceRuntime",
            [
                "HTTPTransport", "Jobs", "Metadata", "Models", "Postgres", "Traces", "Waiting", hummingbird, logging,
                metrics, serviceLifecycle, tracing, unixSignals, yams,
            ]
        ),

        // Services: never import each other.
        library(
            "Frontend",
            path: "Sources/Services/Frontend",
            [
                "Accounts", "Addresses", "Blobs", "Clair", "Jobs", "Metadata", "Models", "OCI", "Postgres",
                "PullThrough", "Waiting",
                httpTypes, hummingbirdCore, logging, metrics, nioCore, nioHTTP1, nioHTTP2, nioHTTPTypes,
                nioHTTPTypesHTTP1, nioHTTPTypesHTTP2, nioPosix, nioSSL, nioTLS, serviceLifecycle, tracing,
            ]
        ),
        library(
            "Management",
            path: "Sources/Services/Management",
            [
                "Accounts", "Blobs", "Clair", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", "Sealing",
                httpTypes, hummingbird, hummingbirdCore, logging, nioCore,
            ]
        ),
        library(
            "Fetcher",
            path: "Sources/Services/Fetcher",
            [
                "Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", "Sealing", "Upstream",
                "Waiting",
                logging, serviceLifecycle,
            ]
        ),
        library(
            "Scanning",
            path: "Sources/Services/Scanning",
            [
                "Accounts", "Clair", "HTTPTransport", "Jobs", "Metadata", "Models", "Notices", "OCI", "Postgres",
                "PullThrough", "Waiting", logging, serviceLifecycle,
            ]
        ),
        library(
            "Pruning",
            path: "Sources/Services/Pruning",
            [
                "HTTPTransport", "Jobs", "Metadata", "Models", "Notices", "Postgres", "PullThrough", "Waiting", logging,
                serviceLifecycle,
            ]
        ),
        library(
            "Collection",
            path: "Sources/Services/Collection",
            [
                "Blobs", "Jobs", "Metadata", "Models", "OCI", "Postgres", "PullThrough", logging, metrics,
                serviceLifecycle,
            ]
        ),
        library(
            "Operations",
            path: "Sources/Services/Operations",
            ["Jobs", "Metadata", "Models", "OCI", "Postgres", logging]
        ),
        library("Supervision", path: "Sources/Services/Supervision", ["Waiting", logging, subprocess, systemPackage]),

        // Programs: settings, wiring, nothing else.
        program(
            "FrontendProgram",
            [
                "Accounts", "Addresses", "Blobs", "Clair", "Frontend", "Jobs", "Management", "Models", "OCI",
                "Postgres",
                "PullThrough",
            ]
        ),
        program(
            "FetcherProgram",
            ["Blobs", "Fetcher", "HTTPTransport", "Postgres", "PullThrough", "Sealing", "Upstream"]
        ),
        program("PrunerProgram", ["HTTPTransport", "Notices", "Postgres", "Pruning", "PullThrough"]),
        program("CollectorProgram", ["Blobs", "Collection", "Metadata", "Models", "Postgres"]),
        program(
            "DispatcherProgram",
            ["Clair", "HTTPTransport", "Models", "Notices", "Postgres", "PullThrough", "Scanning"]
        ),

        // Executables: one program each; the operator's command can be any of them.
        executable("RegistryFrontend", ["FrontendProgram", "ServiceRuntime"]),
        executable("UpstreamFetcher", ["FetcherProgram", "ServiceRuntime"]),
        executable("QuotaPruner", ["PrunerProgram", "ServiceRuntime"]),
        executable("GarbageCollector", ["CollectorProgram", "ServiceRuntime"]),
        executable("ScanDispatcher", ["DispatcherProgram", "ServiceRuntime"]),
        executable(
            "Entrepot",
            [
                "Accounts", "CollectorProgram", "DispatcherProgram", "FetcherProgram", "FrontendProgram",
                "HTTPTransport", "Jobs", "Metadata", "Models", "OCI", "Operations", "Postgres", "PrunerProgram",
                "Sealing", "ServiceRuntime", "Supervision", "Waiting", argumentParser, httpTypes, logging, unixSignals,
            ]
        ),

        // Tests.
        .target(
            name: "TestSupport",
            dependencies: [
                "HTTPTransport", "Metadata", "Models", "OCI", "Postgres", "Upstream", "Waiting", crypto, httpTypes,
                hummingbirdCore, logging, nioCore, nioPosix, serviceLifecycle,
            ],
            path: "Tests/TestSupport",
            exclude: ["Clair/digest.schema.json", "Clair/layer.schema.json", "Clair/manifest.schema.json"],
            swiftSettings: settings
        ),
        // A demonstration's stand-in for Clair.
        .executableTarget(
            name: "ScanDoubleProgram",
            dependencies: ["TestSupport", argumentParser],
            path: "Tests/ScanDouble",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "JobRates",
            dependencies: ["Jobs", "Models", "OCI", "Postgres", argumentParser, logging],
            path: "Tests/Benchmarks/Jobs",
            swiftSettings: settings
        ),
        tests("ModuleGraphTests", []),
        tests("WaitingTests", ["Waiting"]),
        tests("ModelsTests", ["Models", "OCI"]),
        tests("OCITests", ["OCI", crypto, httpTypes]),
        tests("SealingTests", ["Models", "Sealing"]),
        tests("PostgresTests", ["Postgres", logging]),
        tests("AddressesTests", ["Addresses"]),
        tests("HTTPTransportTests", ["Addresses", "HTTPTransport", httpTypes, logging, nioCore, nioPosix]),
        tests("TracesTests", ["HTTPTransport", "Traces", httpTypes, logging, serviceLifecycle, tracing]),
        tests("MetadataTests", ["Metadata", "Models", "OCI", "Postgres", logging]),
        tests("JobsTests", ["Jobs", "Metadata", "Models", "OCI", "Postgres", "Waiting", logging, serviceLifecycle]),
        tests("BlobsTests", ["Blobs", "Models", "OCI"]),
        tests("UpstreamTests", ["HTTPTransport", "Models", "OCI", "Upstream", httpTypes, logging]),
        tests(
            "ClairTests",
            ["Clair", "HTTPTransport", "Management", "Models", "OCI", httpTypes, logging],
            exclude: ["Fixtures"]
        ),
        tests("PullThroughTests", ["Blobs", "Jobs", "Models", "OCI", "Postgres", "PullThrough", "Waiting"]),
        tests("FetcherTests", ["Blobs", "Fetcher", "HTTPTransport", "Models", "OCI", "Upstream", httpTypes, logging]),
        tests("NoticesTests", ["HTTPTransport", "Jobs", "Models", "Notices", "Postgres", "Waiting", logging]),
        tests("CollectionTests", ["Blobs", "Collection", "Metadata", "Models", "OCI", "Postgres", logging]),
        tests("ManagementTests", ["Management", "Models"]),
        tests("FrontendTests", ["Addresses", "Frontend", "HTTPTransport", "Models", "OCI", httpTypes]),
        tests("ServiceRuntimeTests", ["ServiceRuntime", logging, metrics]),
        tests("DeployTests", ["ServiceRuntime", yams]),
        tests("AccountsTests", ["Accounts", "Metadata", "Models", "OCI", "Postgres", crypto, jwt, logging]),
        tests("OperationsTests", ["Models", "OCI", "Operations"]),
        tests("SupervisionTests", ["Supervision", logging]),
        tests(
            "EndToEndTests",
            ["HTTPTransport", "Metadata", "Models", "Notices", "OCI", "Postgres", httpTypes] + executables + [
                "ScanDoubleProgram"
            ]
        ),
    ]
)
