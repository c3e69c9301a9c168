// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import OCI
import Postgres
import TestSupport
import Testing

/// A registry, a deployment that proxies it as `up`, and a scanner that wants the key.
struct ScanScene {
    private static let secret = Data("a secret of thirty-two bytes....".utf8)
    static let keyed = [
        "ENTREPOT_FILL_DELAY": "50ms",
        "ENTREPOT_SECURITY_SCANNER_V4_PSK": secret.base64EncodedString(),
    ]

    let upstream: ScriptedUpstream
    let deployment: Deployment
    let scanner: ScanDouble

    var registry: TestClient { deployment.registry }

    func pull(_ reference: String, _ headers: HTTPFields = [:]) async throws -> TestClient.Answer {
        try await registry.get("/v2/up/a/b/manifests/\(reference)", headers)
    }

    func security(_ digest: OCI.Digest) async throws -> TestClient.Answer {
        try await registry.get("/api/v1/repository/up/a/b/manifest/\(digest)/security?vulnerabilities=true")
    }

    func state(of image: ImageFixture) async throws -> String? {
        try await deployment.client.query(
            "SELECT state FROM manifest_scan JOIN manifest m ON m.id = manifest_id WHERE digest = \(image.digest.rawValue)"
        ).decodeFirst(String.self)
    }

    func isScanned(_ image: ImageFixture) async throws {
        try await eventually("\(image.digest) is scanned") { try await state(of: image) == "scanned" }
    }

    /// How often the scanner was sent the image.
    func sent(_ image: ImageFixture) -> Int {
        scanner.requests.count {
            $0.method == "POST" && String(decoding: $0.body, as: UTF8.self).contains(image.digest.rawValue)
        }
    }

    func killDispatcher() async throws {
        let victim = try #require(deployment.dispatchers.last)
        try await victim.stop(SIGKILL)
    }

    static func with(
        frontends: Int = 1,
        dispatchers: Int = 1,
        environment: [String: String] = keyed,
        _ body: (ScanScene) async throws -> Void
    ) async throws {
        try await ScriptedUpstream.with { upstream in
            try await ScanDouble.with { scanner in
                scanner.requireKey(secret)
                try await Deployment.with(["up=\(upstream.url)"], frontends: frontends, environment: environment) {
                    deployment in
                    for _ in 0..<dispatchers { try await deployment.addDispatcher(scanner: scanner.url) }
                    try await body(ScanScene(upstream: upstream, deployment: deployment, scanner: scanner))
                }
            }
        }
    }

    static func image(_ text: String) async throws -> ImageFixture {
        .image(layers: [try await .tar(text)], config: .text("{\"name\":\"\(text)\"}"))
    }
}
