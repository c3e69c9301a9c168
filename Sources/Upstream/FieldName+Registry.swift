// SPDX-License-Identifier: Apache-2.0

import HTTPTypes

extension HTTPField.Name {
    static let dockerContentDigest = Self(name: "Docker-Content-Digest")
    static let link = Self(name: "Link")
    static let rateLimitLimit = Self(name: "RateLimit-Limit")
    static let rateLimitRemaining = Self(name: "RateLimit-Remaining")
}

private extension HTTPField.Name {
    init(name: StaticString) {
        guard let name = HTTPField.Name("\(name)") else { preconditionFailure("\(name) is no field name") }
        self = name
    }
}
