// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// The programs as an image has them: `entrepot`, and links to it.
@Suite("Programs that are links to entrepot")
struct LinkedProgramTests {
    private static let services = [
        "registry-frontend", "upstream-fetcher", "quota-pruner", "garbage-collector", "scan-dispatcher",
    ]

    /// A folder with a link for each service.
    private static func links() throws -> TemporaryDirectory {
        let folder = try TemporaryDirectory()
        for service in services {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder.path)/\(service)",
                withDestinationPath: Executables.path("entrepot")
            )
        }
        return folder
    }

    @Test("an image is pulled through a deployment of links")
    func pull() async throws {
        let image = ImageFixture.image(layers: [.text("layer")])
        let folder = try Self.links()
        try await ScriptedUpstream.with { upstream in
            upstream.add(image, to: "app", tag: "1")
            try await Deployment.with(["cache=\(upstream.url)"], programs: folder.path) { deployment in
                try await deployment.addPruner()
                try await deployment.addCollector()
                let manifest = try await deployment.registry.get("/v2/cache/app/manifests/1")
                expectServed(manifest, image.bytes)
                let layer = try await deployment.registry.get("/v2/cache/app/blobs/\(image.blobs[1].digest)")
                #expect(layer.text == "layer")
            }
        }
    }

    @Test("a link's mistakes are told in the name of the service, with its exit status", arguments: services)
    func name(_ service: String) async throws {
        let folder = try Self.links()
        let process = try await TestProcess(
            "\(folder.path)/\(service)",
            environment: ["ENTREPOT_SHUTDOWN_GRACE": "soon"]
        )
        #expect(try await process.exitStatus() == 2)
        #expect(process.lines.contains { $0.hasPrefix("\(service): SHUTDOWN_GRACE") }, "\(process.lines)")
    }
}
