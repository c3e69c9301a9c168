// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Models
import OCI
import Operations
import ServiceRuntime

/// Fetches images ahead, so that the first client finds them.
struct WarmCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Fetch images into the cache before a client asks for them.",
        discussion: """
            Of an index, the images for the platforms that the organization lists are fetched, or those for linux/amd64 \
            when it lists none. The exit status is 1 when anything could not be fetched.
            """
    )

    @Argument(help: ArgumentHelp("Images as clients name them behind the host.", valueName: "ORG/IMAGE[:TAG][@DIGEST]"))
    var images: [String]

    @Option(name: .customLong("platform"), help: "Platform os/architecture[/variant]; may be given more than once.")
    var platforms: [String] = []

    @Flag(help: "Every image of an index.")
    var allPlatforms = false

    @Flag(help: "One JSON object in place of lines.")
    var json = false

    @OptionGroup var database: DatabaseOptions

    func run() async throws {
        try await Command.run(name: "warm", keys: SharedSettings.keys + [UpSettings.data]) { runtime in
            let targets: [WarmTarget]
            do { targets = try images.map(WarmTarget.init) } catch { throw SettingsError("\(error)") }
            let choice = try choice()
            let display: any WarmDisplay
            switch (json, Terminal.isInteractive) {
            case (true, _): display = SilentDisplay()
            case (false, true): display = BarDisplay()
            case (false, false): display = LineDisplay()
            }
            try await database.withClient(runtime) { client in
                let warmer = ImageWarmer(client: client, logger: runtime.logger) { display.show($0) }
                let results = try await warmer.warm(targets, choice)
                display.finish()
                if json {
                    Console.write(try Command.json(["images": results]))
                } else {
                    for line in results.flatMap(WarmLines.summary) { Console.write(line) }
                }
                guard results.allSatisfy(\.complete) else { throw ExitCode(1) }
            }
        }
    }

    private func choice() throws -> PlatformChoice? {
        if allPlatforms {
            guard platforms.isEmpty else { throw SettingsError("--all-platforms and --platform exclude each other") }
            return .all
        }
        guard !platforms.isEmpty else { return nil }
        do { return .only(try platforms.map { try Platform($0) }) } catch let error as OCIError {
            throw SettingsError("--platform: \(error.message)")
        }
    }
}
