// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Where this machine keeps PostgreSQL's programs.
package struct PostgresPrograms: Sendable, Hashable {
    package let folder: String

    package var initdb: String { folder + "/initdb" }
    package var postgres: String { folder + "/postgres" }

    /// Looks at PATH first, then where distributions keep a folder per version, newest version first.
    /// - Throws: ``SupervisionError`` when there are none.
    package static func find(
        path: String = ProcessInfo.processInfo.environment["PATH"] ?? "",
        versionRoots: [String] = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"]
    ) throws -> PostgresPrograms {
        let versioned = versionRoots.flatMap { root in
            versions(in: root).map { "\(root)/\($0)/bin" }
        }
        for folder in path.split(separator: ":").map(String.init) + versioned {
            let isComplete = ["initdb", "postgres"].allSatisfy {
                FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)")
            }
            if isComplete { return PostgresPrograms(folder: folder) }
        }
        throw SupervisionError(
            "PostgreSQL's initdb and postgres are neither in PATH nor under \(versionRoots.joined(separator: ", ")): "
                + "install the package postgresql, or name a server with --postgres URL"
        )
    }

    private static func versions(in root: String) -> [String] {
        // A root that doesn't exist has no versions.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return names.filter { Double($0) != nil }.sorted { (Double($0) ?? 0) > (Double($1) ?? 0) }
    }
}
