// SPDX-License-Identifier: Apache-2.0

import Foundation
import OCI
import TestSupport
import Testing

/// `entrepot up` with a scanner.
@Suite struct ScanUpTests {
    @Test(
        "with a scanner up starts a dispatcher, and the scanner gets layers from the first frontend; without one it doesn't"
    )
    func up() async throws {
        let image = ImageFixture.image(layers: [try await .tar("up")])
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "a/b", tag: "t")
            try await ScanDouble.with { scanner in
                let folder = try TemporaryDirectory()
                let options = ["--proxy", "up=\(upstream.url)", "--allow-upstream", "127.0.0.1"]
                let up = try await RunningUp.start(
                    data: folder.path,
                    options,
                    environment: [
                        "ENTREPOT_SECURITY_SCANNER_V4_ENDPOINT": scanner.url, "ENTREPOT_FILL_DELAY": "50ms",
                    ]
                )
                try await eventually("the dispatcher runs") {
                    try up.processes(running: "scan-dispatcher").count == 1
                }
                #expect(try await up.registry.get("/v2/up/a/b/manifests/t").status == 200)
                try await eventually("it is scanned") { scanner.indexed == [image.digest.rawValue] }
                #expect(scanner.complaints.isEmpty)
                #expect(try await up.process.stop(SIGTERM) == 0)
                #expect(try up.processes.isEmpty)

                let without = try await RunningUp.start(data: folder.path)
                #expect(try await without.process.stop(SIGTERM) == 0)
                #expect(!without.process.lines.contains { $0.contains("scan-dispatcher") })
                #expect(up.process.lines.contains { $0.contains("scan-dispatcher") }, "else this says nothing")
            }
        }
    }

    @Test(
        "a setting of the dispatcher that can't be used ends its start with a message that names it",
        arguments: [
            ("SECURITY_SCANNER_V4_ENDPOINT", "clair:6060"), ("SECURITY_SCANNER_V4_PSK", "short"),
            ("SCAN_LAYERS_URL", ""), ("SCAN_SLOTS", "0"), ("SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE", "big"),
            ("VULNERABILITY_WEBHOOK_SEVERITY", "Bad"), ("FEATURE_SECURITY_SCANNER", "false"),
        ]
    )
    func badSettings(_ key: String, _ value: String) async throws {
        var environment = [
            "ENTREPOT_DB_URI": "postgresql://127.0.0.1:1/none",
            "ENTREPOT_SECURITY_SCANNER_V4_ENDPOINT": "http://clair:6060",
            "ENTREPOT_SCAN_LAYERS_URL": "http://frontend:5080",
        ]
        environment["ENTREPOT_" + key] = value
        let process = try await TestProcess(Executables.path("scan-dispatcher"), environment: environment)
        #expect(try await process.exitStatus() == 2)
        #expect(process.lines.contains { $0.contains(key) }, "\(process.lines)")
        if !value.isEmpty, key.hasSuffix("PSK") { #expect(!process.lines.contains { $0.contains("\"short\"") }) }
    }
}
