// SPDX-License-Identifier: Apache-2.0

import HTTPTypes

extension HTTPField.Name {
    static let dockerContentDigest = Self(name: "Docker-Content-Digest")
}

private extension HTTPField.Name {
    init(name: StaticString) {
        guard let name = HTTPField.Name("\(name)") else { preconditionFailure("\(name) is no field name") }
        self = name
    }
}
