// SPDX-License-Identifier: Apache-2.0

import HTTPTypes

extension HTTPField.Name {
    static let dockerContentDigest = registered("Docker-Content-Digest")
    static let dockerDistributionAPIVersion = registered("Docker-Distribution-API-Version")
    static let forwarded = registered("Forwarded")
    static let link = registered("Link")
    static let ociNamespace = registered("OCI-Namespace")
    static let ociFiltersApplied = registered("OCI-Filters-Applied")
    static let requestID = registered("X-Request-Id")
    static let warning = registered("Warning")
    static let xForwardedFor = registered("X-Forwarded-For")
    static let xForwardedHost = registered("X-Forwarded-Host")
    static let xForwardedProto = registered("X-Forwarded-Proto")

    private static func registered(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
