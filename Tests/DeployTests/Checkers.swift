// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// Programs that know the formats of deployment files; `Tests/run` installs them.
enum Checkers {
    static func path(_ program: String) throws -> String {
        let path = Repository.root + "/.build/deployment/bin/" + program
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw TestSupportError("\(program) isn't there: Tests/run installs it")
        }
        return path
    }
}
