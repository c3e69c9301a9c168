// SPDX-License-Identifier: Apache-2.0

import HTTPTypes

extension HTTPField.Name {
    static let dockerContentDigest = registered("Docker-Content-Digest")
    static let dockerDistributionAPIVersion = registered("Docker-Distribution-API-Version")
    static let link = registered("Link")
    static let ociNamespace = registered("OCI-Namespace")
    static let ociFiltersApplied = registered("OCI-Filters-Applied")
    static let warning = registered("Warning")

    private static func registered(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
