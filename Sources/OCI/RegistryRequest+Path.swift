// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

extension RegistryRequest {
    /// The request target, `path[?query]`: the inverse of ``init(method:target:)``.
    package var path: String {
        var parameters = route.parameters
        if let namespace { parameters.append(("ns", namespace)) }
        guard !parameters.isEmpty else { return route.path }
        return route.path + "?"
            + parameters.map { "\($0.key)=\(PercentEncoding.encode($0.value))" }.joined(separator: "&")
    }

    /// The method that goes with ``path``.
    package var method: HTTPRequest.Method {
        switch route {
        case .push(.putManifest), .push(.finishUpload): .put
        case .push(.deleteManifest), .push(.deleteBlob), .push(.cancelUpload): .delete
        case .push(.startUpload): .post
        case .push(.continueUpload): .patch
        case .ping, .manifest, .blob, .tagList, .referrers, .push(.uploadStatus): isHead ? .head : .get
        }
    }
}

extension RegistryRequest.Route {
    /// The path without a query.
    fileprivate var path: String {
        switch self {
        case .ping: "/v2/"
        case .manifest(let name, let reference): "/v2/\(name)/manifests/\(reference)"
        case .blob(let name, let digest): "/v2/\(name)/blobs/\(digest)"
        case .tagList(let name, _, _): "/v2/\(name)/tags/list"
        case .referrers(let name, let digest, _, _): "/v2/\(name)/referrers/\(digest)"
        case .push(let kind): kind.path
        }
    }

    /// The query parameters that belong to the endpoint, in the order of the specification.
    fileprivate var parameters: [(key: String, value: String)] {
        switch self {
        case .tagList(_, let n, let last): [("n", n.map { String($0) }), ("last", last)].compactMap(Self.present)
        case .referrers(_, _, let artifactType, let last):
            [("artifactType", artifactType), ("last", last?.rawValue)].compactMap(Self.present)
        case .ping, .manifest, .blob, .push: []
        }
    }

    private static func present(_ key: String, _ value: String?) -> (key: String, value: String)? {
        value.map { (key, $0) }
    }
}

extension RegistryRequest.PushKind {
    fileprivate var path: String {
        switch self {
        case .putManifest(let name, let reference), .deleteManifest(let name, let reference):
            "/v2/\(name)/manifests/\(reference)"
        case .deleteBlob(let name, let digest): "/v2/\(name)/blobs/\(digest)"
        case .startUpload(let name): "/v2/\(name)/blobs/uploads/"
        case .continueUpload(let name, let session), .finishUpload(let name, let session),
            .uploadStatus(let name, let session), .cancelUpload(let name, let session):
            "/v2/\(name)/blobs/uploads/\(session)"
        }
    }
}
