// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// One request of the registry protocol, made from method and target at the edge of the frontend, or the other way
/// round for a request to upstream (distribution-spec "Endpoints").
package struct RegistryRequest: Hashable, Sendable {
    /// The endpoint and its arguments. GET and HEAD share a case.
    package enum Route: Hashable, Sendable {
        /// end-1: `GET /v2/`, "do you speak this protocol, and am I let in?".
        case ping
        /// end-3: `GET`, `HEAD /v2/<name>/manifests/<reference>`.
        case manifest(RepositoryName, Reference)
        /// end-2: `GET`, `HEAD /v2/<name>/blobs/<digest>`.
        case blob(RepositoryName, Digest)
        /// end-8a, end-8b: `GET /v2/<name>/tags/list?n=<integer>&last=<tagname>`.
        case tagList(RepositoryName, n: Int?, last: String?)
        /// end-12a, end-12b: `GET /v2/<name>/referrers/<digest>?artifactType=<artifactType>`.
        /// `last` is ours: the digest after which the next page begins.
        case referrers(RepositoryName, Digest, artifactType: String?, last: Digest?)
        /// Anything that writes, and the state of uploads.
        case push(PushKind)
    }

    /// The part of the protocol that a pull-through cache refuses, told apart for logs and messages.
    package enum PushKind: Hashable, Sendable {
        /// end-7: `PUT /v2/<name>/manifests/<reference>`.
        case putManifest(RepositoryName, Reference)
        /// end-9: `DELETE /v2/<name>/manifests/<reference>`.
        case deleteManifest(RepositoryName, Reference)
        /// end-10: `DELETE /v2/<name>/blobs/<digest>`.
        case deleteBlob(RepositoryName, Digest)
        /// end-4a, end-4b, end-11: `POST /v2/<name>/blobs/uploads/`, be it an upload or a mount.
        case startUpload(RepositoryName)
        /// end-5: `PATCH /v2/<name>/blobs/uploads/<reference>`.
        case continueUpload(RepositoryName, session: String)
        /// end-6: `PUT /v2/<name>/blobs/uploads/<reference>`.
        case finishUpload(RepositoryName, session: String)
        /// end-13: `GET`, `HEAD /v2/<name>/blobs/uploads/<reference>`.
        case uploadStatus(RepositoryName, session: String)
        /// `DELETE /v2/<name>/blobs/uploads/<reference>`, which has no number but is widely implemented.
        case cancelUpload(RepositoryName, session: String)
    }

    /// What is asked for.
    package let route: Route
    /// Whether only the headers of the answer are wanted.
    package let isHead: Bool
    /// The registry that a mirroring client means, from the `ns` query (distribution-spec "Registry Proxying"): a
    /// host with an optional port, in lower case. It is a claim of the client, never an address to connect to.
    package let namespace: String?

    /// Makes a request whose parts are already valid, for instance one to send to upstream.
    package init(_ route: Route, isHead: Bool = false, namespace: String? = nil) {
        self.route = route
        self.isHead = isHead
        self.namespace = namespace
    }

    /// The repository that the request is about; nil for ``Route/ping``.
    package var repository: RepositoryName? {
        switch route {
        case .ping: nil
        case .manifest(let name, _), .blob(let name, _), .tagList(let name, _, _), .referrers(let name, _, _, _): name
        case .push(let kind): kind.repository
        }
    }
}

extension RegistryRequest.PushKind {
    /// The repository that would be written to.
    package var repository: RepositoryName {
        switch self {
        case .putManifest(let name, _), .deleteManifest(let name, _), .deleteBlob(let name, _), .startUpload(let name),
            .continueUpload(let name, _), .finishUpload(let name, _), .uploadStatus(let name, _),
            .cancelUpload(let name, _):
            name
        }
    }

    /// What the same path allows where images are only pulled; nothing, for uploads.
    package var methodsToPull: [HTTPRequest.Method] {
        switch self {
        case .putManifest, .deleteManifest, .deleteBlob: [.get, .head]
        case .startUpload, .continueUpload, .finishUpload, .uploadStatus, .cancelUpload: []
        }
    }
}
