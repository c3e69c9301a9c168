// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Logging
import Metrics

/// A service as a program: what it reads, and what it does with that.
package struct Program: Sendable {
    /// As its executable is called.
    package let name: String
    private let keys: [SettingKey]
    private let switches: Set<String>
    private let body: @Sendable (ServiceRuntime) async throws -> Void

    /// - Parameters:
    ///   - switches: words that it understands on its command line, such as `--dry-run`
    ///   - body: runs it to its end
    package init(
        name: String,
        keys: [SettingKey],
        switches: Set<String> = [],
        _ body: @escaping @Sendable (ServiceRuntime) async throws -> Void
    ) {
        self.name = name
        self.keys = keys
        self.switches = switches
        self.body = body
    }

    /// Exit status after a wrong setting.
    package static let wrongSettingStatus: Int32 = 2

    /// The whole `main`: exit status 2 for a wrong setting, 1 for any other failure to start or run. Understands
    /// `--config FILE`, and the program's switches.
    package func main() async {
        do {
            let arguments = Array(CommandLine.arguments.dropFirst())
            let config = try Self.configFlag(arguments.filter { !switches.contains($0) })
            let given = switches.intersection(arguments)
            let metrics = MetricRegistry()
            MetricsSystem.bootstrap(metrics)
            let runtime = try ServiceRuntime(
                name: name,
                keys: keys,
                config: config,
                switches: given,
                metrics: metrics
            )
            runtime.bootstrapTracing()
            do { try OpenFileLimit.raise() } catch {
                runtime.logger.warning("the limit of open files isn't raised", metadata: ["error": "\(error)"])
            }
            try await body(runtime)
        } catch let error as SettingsError {
            complain(error)
            exit(Self.wrongSettingStatus)
        } catch {
            complain(error)
            exit(1)
        }
    }

    private static func configFlag(_ arguments: [String]) throws -> String? {
        switch arguments.count {
        case 0: return nil
        case 2 where arguments[0] == "--config": return arguments[1]
        default: throw SettingsError("\(arguments.joined(separator: " ")): expected nothing, or --config FILE")
        }
    }

    private func complain(_ error: any Error) {
        FileHandle.standardError.write(Data("\(name): \(error)\n".utf8))
    }
}
