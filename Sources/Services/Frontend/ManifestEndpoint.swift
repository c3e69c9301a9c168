// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Metadata
import Models
import OCI
import PullThrough

/// `GET` and `HEAD` of manifests (distribution-spec end-3).
struct ManifestEndpoint: Sendable {
    struct Answer {
        let reply: Reply
        let outcome: PullOutcome
        let manifest: ManifestRecord
    }

    let pull: ManifestPull
    let gate: ScanGate

    func answer(
        _ reference: Reference,
        in place: RequestedRepository,
        headers: HTTPFields
    ) async throws -> Answer {
        let pulled: PulledManifest?
        do {
            pulled = try await pull.pull(reference, repository: place.repository, organization: place.organization)
        } catch let failure as FetchFailure {
            throw RegistryError(failure, unknown: .manifestUnknown)
        }
        guard let pulled else {
            throw RegistryError(.manifestUnknown, message: "\(place) has no manifest \(reference)")
        }
        let manifest = pulled.manifest
        try await gate.check(manifest, in: place)
        let tag = EntityTag(manifest.digest)
        try tag.checkIfMatch(headers[values: .ifMatch])
        var reply = Reply(
            status: 200,
            headers: [
                .contentType: manifest.mediaType.rawValue,
                .dockerContentDigest: manifest.digest.description,
                .eTag: tag.description,
            ],
            body: .bytes(manifest.bytes),
            contentLength: Int64(manifest.bytes.count)
        )
        if case .stale(let failure, let age) = pulled.outcome {
            reply.headers[.warning] = Warning.stale(failure, sinceCheck: age)
        }
        if tag.ifNoneMatch(headers[values: .ifNoneMatch]) {
            reply.status = 304
            reply.body = .none
            reply.contentLength = nil
            reply.headers[.contentType] = nil
        }
        return Answer(reply: reply, outcome: PullOutcome(pulled.outcome), manifest: manifest)
    }
}

/// Where a request looks, after its first path component was found to be an organization.
struct RequestedRepository: Sendable, CustomStringConvertible {
    /// As the client wrote it.
    let name: RepositoryName
    let organization: Organization
    /// Canonical name inside the organization.
    let repository: RepositoryName

    var description: String { name.rawValue }
}

extension PullOutcome {
    init(_ outcome: PulledManifest.Outcome) {
        switch outcome {
        case .hit: self = .hit
        case .revalidated: self = .revalidated
        case .miss: self = .miss
        case .stale: self = .stale
        }
    }
}

/// `Warning: 299 - "…"` (distribution-spec, "Warnings"; RFC 7234 section 5.5).
enum Warning {
    /// The specification allows 4,096 bytes for all warnings of a response together.
    private static let maximumBytes = 1_024

    static func stale(_ failure: FetchFailure, sinceCheck age: Duration) -> String {
        text("served from cache, last confirmed \(age.components.seconds) s ago: \(failure.message)")
    }

    static func text(_ message: String) -> String {
        var quoted = ""
        for scalar in message.unicodeScalars where quoted.utf8.count < maximumBytes {
            switch scalar {
            case "\"", "\\": quoted += "'"
            case " "..."~": quoted.unicodeScalars.append(scalar)
            default: quoted += "?"
            }
        }
        return "299 - \"\(quoted)\""
    }
}
