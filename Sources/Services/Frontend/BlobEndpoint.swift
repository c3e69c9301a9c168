// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Metrics
import Models
import OCI
import PullThrough

/// `GET` and `HEAD` of blobs (distribution-spec end-2), with ranges (RFC 9110 section 14), stored or arriving.
struct BlobEndpoint: Sendable {
    let pull: BlobPull
    let follower: BlobFollower
    /// How long a client may take no byte.
    let sendDeadline: Duration
    /// Connections are plain HTTP/1.
    let canSendFiles: Bool
    let fetchWait = Timer(label: "entrepot_fetch_wait_seconds", dimensions: [("kind", JobKind.blobFetch.rawValue)])

    func answer(
        _ digest: Digest,
        in place: RequestedRepository,
        headers: HTTPFields,
        isHead: Bool
    ) async throws -> (Reply, PullOutcome) {
        let found = try await pull.find(digest, repository: place.repository, organization: place.organization)
        guard let found else {
            throw RegistryError(.blobUnknown, message: "\(place) has no blob \(digest)")
        }
        let size = found.sizeBytes
        let tag = EntityTag(digest)
        var fields: HTTPFields = [
            .dockerContentDigest: digest.description, .eTag: tag.description, .acceptRanges: "bytes",
        ]
        let outcome: PullOutcome =
            switch found {
            case .stored: .hit
            case .absent: .miss
            }
        try tag.checkIfMatch(headers[values: .ifMatch])
        if tag.ifNoneMatch(headers[values: .ifNoneMatch]) {
            return (Reply(status: 304, headers: fields), outcome)
        }
        var status = 200
        var parts: [BlobBody.Part] = size > 0 ? [.slice(0..<size)] : []
        var length = size
        fields[.contentType] = "application/octet-stream"
        // Only GET has ranges (RFC 9110 section 14.2).
        switch isHead ? RangeResolution.whole : range(headers, size: size, tag: tag) {
        case .whole:
            break
        case .unsatisfiable:
            fields[.contentRange] = ByteRange.unsatisfiedContentRange(size: size)
            var refusal = Reply(
                RegistryError(.rangeInvalid, message: "the blob has \(size) bytes, none of which was asked for")
            )
            refusal.headers.append(contentsOf: fields.filter { $0.name != .contentType })
            return (refusal, .error)
        case .satisfiable(let slices):
            status = 206
            if let slice = slices.first, slices.count == 1 {
                fields[.contentRange] = slice.contentRange(size: size)
                parts = [.slice(slice.offset..<slice.offset + slice.length)]
                length = slice.length
            } else {
                let multipart = MultipartByteRanges(
                    boundary: "entrepot-\(digest.hex.prefix(16))",
                    slices: slices,
                    size: size,
                    contentType: .octetStream
                )
                fields[.contentType] = multipart.contentTypeHeader
                parts = Self.parts(multipart)
                length = multipart.contentLength
            }
        }
        // HEAD is answered from what the manifest says: it fetches nothing.
        guard !isHead else { return (Reply(status: status, headers: fields, contentLength: length), outcome) }
        let body = BlobBody(
            source: try await open(found),
            parts: parts,
            organization: place.organization.id,
            deadline: sendDeadline,
            canSendFiles: canSendFiles
        )
        return (Reply(status: status, headers: fields, body: .blob(body), contentLength: length), outcome)
    }

    private func range(_ headers: HTTPFields, size: Int64, tag: EntityTag) -> RangeResolution {
        guard let header = headers[.range] else { return .whole }
        if let condition = headers[.ifRange], !tag.ifRange(condition) { return .whole }
        return ByteRange.resolve(header: header, size: size)
    }

    /// Waits until upstream has begun to send, so that a fetch that fails before is answered with its cause. A reader
    /// that is far ahead waits in the body, not here.
    private func open(_ found: BlobPull.Source) async throws -> BlobBody.Source {
        switch found {
        case .stored(let reader, _):
            return .stored(reader)
        case .absent(let fetch):
            let start = ContinuousClock.now
            defer { fetchWait.record(duration: ContinuousClock.now - start) }
            let handle = follower.join(fetch)
            do {
                try await handle.follow.beginning()
                return .arriving(handle)
            } catch let failure as FetchFailure {
                throw RegistryError(failure, unknown: .blobUnknown)
            }
        }
    }

    private static func parts(_ multipart: MultipartByteRanges) -> [BlobBody.Part] {
        var parts: [BlobBody.Part] = []
        for part in multipart.parts {
            parts.append(.text(part.header))
            parts.append(.slice(part.slice.offset..<part.slice.offset + part.slice.length))
        }
        parts.append(.text(multipart.closing))
        return parts
    }
}
