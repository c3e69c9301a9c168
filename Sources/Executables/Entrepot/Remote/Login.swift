// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import ServiceRuntime
import Supervision

/// Where an Entrepot is, and a token that it lets in.
struct Login: Codable {
    let url: String
    let token: String

    /// Of the person who runs the command: `$XDG_CONFIG_HOME/entrepot/login.json`.
    static var ownFile: String {
        let environment = ProcessInfo.processInfo.environment
        let folder = environment["XDG_CONFIG_HOME"] ?? (environment["HOME"] ?? ".") + "/.config"
        return folder + "/entrepot/login.json"
    }

    /// Nil when there is no such file. Throws ``SupervisionError`` for one that can't be used.
    static func read(_ path: String) throws -> Login? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(Login.self, from: try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw SupervisionError("\(path) can't be read: \(error.localizedDescription)")
        }
    }

    /// Replaces the file whole, readable by its owner alone. Throws ``SupervisionError``.
    func write(_ path: String) throws {
        let folder = URL(filePath: path).deletingLastPathComponent()
        let fresh = path + ".new"
        do {
            try FileManager.default.createDirectory(
                at: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            let content = try JSONEncoder().encode(self)
            // What a killed command left behind.
            if FileManager.default.fileExists(atPath: fresh) { try FileManager.default.removeItem(atPath: fresh) }
            try OwnFile.write(content, to: fresh)
        } catch let error as SupervisionError { throw error } catch {
            throw SupervisionError("\(path) can't be written: \(error.localizedDescription)")
        }
        guard rename(fresh, path) == 0 else {
            throw SupervisionError("\(path) can't be written: \(String(cString: strerror(errno)))")
        }
    }
}
