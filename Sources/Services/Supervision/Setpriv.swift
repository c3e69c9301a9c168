// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The program of util-linux that starts another one as another account, and has the kernel end it when we die.
enum Setpriv {
    static let path = "/usr/bin/setpriv"

    /// What precedes the program's own words.
    static func arguments(account: String?, deathSignal: Int32) -> [String] {
        var arguments = ["--pdeathsig=\(deathSignal == SIGINT ? "INT" : "TERM")"]
        if let account { arguments += ["--reuid=\(account)", "--regid=\(account)", "--init-groups"] }
        return arguments + ["--"]
    }

    /// Throws ``SupervisionError`` when this machine hasn't got it.
    static func check() throws {
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw SupervisionError("\(path) is missing: install the package util-linux")
        }
    }
}
