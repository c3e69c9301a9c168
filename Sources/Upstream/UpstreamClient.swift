// SPDX-License-Identifier: Apache-2.0

package import HTTPTransport
import HTTPTypes
import Metrics
package import Models
package import OCI
import Tracing

/// Asks upstream registries for manifests and blobs. Used by the fetcher alone.
///
/// Whatever goes wrong upstream is a ``FetchFailure``; digests and documents are the caller's to verify.
package struct UpstreamClient: Sendable {
    package struct Deadlines: Sendable {
        package var connect: Duration = .seconds(5)
        package var firstByte: Duration = .seconds(30)
        package var idle: Duration = .seconds(60)
        /// A whole manifest or token exchange. Blobs have no such limit: they may take hours as long as they move.
        package var smallObject: Duration = .seconds(60)

        package init() {}

        func apply(to request: inout HTTPTransportRequest, isSmall: Bool) {
            request.deadlines.connect = connect
            request.deadlines.firstByte = firstByte
            request.deadlines.idle = idle
            request.deadlines.total = isSmall ? smallObject : nil
        }
    }

    private let api: HTTPTransport
    private let blobTransports: [HTTPTransport]
    private let deadlines: Deadlines
    private let authorizer: UpstreamAuthorizer
    private let governor: any UpstreamGovernor
    private let meter: (any UpstreamMeter)?
    private let metrics = UpstreamMetrics()

    /// - Parameters:
    ///   - api: for manifests and tokens, which must not wait behind blobs
    ///   - blobTransports: one or more; blobs are spread over them by digest
    package init(
        api: HTTPTransport,
        blobTransports: [HTTPTransport],
        governor: any UpstreamGovernor,
        credentials: any CredentialSource,
        meter: (any UpstreamMeter)? = nil,
        deadlines: Deadlines = .init()
    ) {
        precondition(!blobTransports.isEmpty, "blobs need a transport")
        self.api = api
        self.blobTransports = blobTransports
        self.deadlines = deadlines
        self.governor = governor
        self.meter = meter
        self.authorizer = UpstreamAuthorizer(transport: api, credentials: credentials, deadlines: deadlines)
    }

    /// Asks what a reference names, without its content. Nil when upstream doesn't say it this way (no HEAD, no digest
    /// header, other rights for HEAD, not found): only GET tells then.
    /// - Throws: ``FetchFailure`` when upstream fails in a way that GET would meet as well.
    package func head(_ reference: Reference, in repository: UpstreamRepository) async throws -> Digest? {
        let response = try await exchange(.head, reference, in: repository)
        let head = response.head
        // A body that HEAD must not have would be dropped with the response.
        switch head.status {
        case 200:
            return head.headers[.dockerContentDigest].flatMap(Digest.init(rawValue:))
        case 400, 401, 403, 404, 405, 406, 501:
            return nil
        default:
            throw FetchFailure.status(head, asking: repository, for: "manifest \(reference)")
        }
    }

    /// Fetches a manifest's bytes, unverified.
    package func manifest(_ reference: Reference, in repository: UpstreamRepository) async throws -> UpstreamManifest {
        let response = try await exchange(.get, reference, in: repository)
        let limit = ManifestDocument.maximumBytes
        let (head, bytes) = try await collect(response, in: repository, for: "manifest \(reference)", upTo: limit)
        return UpstreamManifest(
            bytes: bytes,
            contentType: head.headers[.contentType].flatMap(MediaType.init(rawValue:)),
            claimedDigest: head.headers[.dockerContentDigest].flatMap(Digest.init(rawValue:))
        )
    }

    /// Fetches a small JSON document of the repository, such as a page of a list.
    /// - Throws: ``FetchFailure``, for any status but 200, too
    func document(
        _ url: String,
        in repository: UpstreamRepository,
        for what: String,
        upTo limit: Int
    ) async throws -> (HTTPTransportHead, [UInt8]) {
        var request = HTTPTransportRequest(url: url)
        request.headers[.accept] = "application/json, \(MediaType.ociIndex)"
        request.headers[.acceptEncoding] = "identity"
        deadlines.apply(to: &request, isSmall: true)
        let response = try await follow(request, in: repository, for: what) { request in
            let response = try await api.send(request)
            return (response, response.head)
        }
        return try await collect(response, in: repository, for: what, upTo: limit)
    }

    private func collect(
        _ response: HTTPTransportResponse,
        in repository: UpstreamRepository,
        for what: String,
        upTo limit: Int
    ) async throws -> (HTTPTransportHead, [UInt8]) {
        guard response.head.status == 200 else {
            throw FetchFailure.status(response.head, asking: repository, for: what)
        }
        do {
            let bytes = try await response.collect(upTo: limit)
            meter?.received(bytes.count, for: repository.organization)
            metrics.received(from: repository.address.baseURL).increment(by: bytes.count)
            return (response.head, bytes)
        } catch let error as HTTPTransportError {
            let failure = FetchFailure.transport(error, asking: repository, for: what)
            await governor.failed(repository.address.baseURL, failure, isProbe: false)
            throw failure
        }
    }

    /// Asks whether the registry answers at all, whatever the governor thinks of it.
    /// - Throws: ``FetchFailure``; a challenge is an answer.
    package func probe(_ baseURL: String) async throws {
        var request = HTTPTransportRequest(url: baseURL + "/v2/")
        deadlines.apply(to: &request, isSmall: true)
        request.deadlines.total = CircuitRules.probeDeadline
        let head: HTTPTransportHead
        do {
            head = try await api.send(request).head
        } catch let error as HTTPTransportError {
            throw FetchFailure.transport(error, asking: baseURL, for: "/v2/")
        }
        if FetchFailure.isOutage(head.status) { throw FetchFailure.status(head, asking: baseURL, for: "/v2/") }
    }

    /// Asks whether a registry lets these credentials in, whatever was obtained or is known of it otherwise.
    /// - Throws: ``FetchFailure``: `denied` for credentials that it doesn't take
    package func check(
        _ address: UpstreamAddress,
        organization: OrganizationID,
        realmHosts: [String],
        credentials: UpstreamCredentials?
    ) async throws -> UpstreamChecked {
        let repository = try UpstreamRepository(loginTo: address, as: organization, realmHosts: realmHosts)
        let fresh = UpstreamClient(
            api: api,
            blobTransports: blobTransports,
            governor: NoGovernor(),
            credentials: FixedCredentials(credentials: credentials),
            deadlines: deadlines
        )
        var request = HTTPTransportRequest(url: address.baseURL + "/v2/")
        deadlines.apply(to: &request, isSmall: true)
        // Without credentials a challenge is as good an answer as any.
        let head =
            if credentials == nil {
                try await fresh.plain(request, in: repository)
            } else {
                try await fresh.follow(request, in: repository, for: "/v2/") { request in
                    let head = try await api.send(request).head
                    return (head, head)
                }
            }
        switch head.status {
        case 200: return .valid
        case 401 where credentials == nil: return .anonymous
        default: throw FetchFailure.status(head, asking: address.baseURL, for: "/v2/")
        }
    }

    private func plain(
        _ request: HTTPTransportRequest,
        in repository: UpstreamRepository
    ) async throws -> HTTPTransportHead {
        do { return try await api.send(request).head } catch let error as HTTPTransportError {
            throw FetchFailure.transport(error, asking: repository.address.baseURL, for: "/v2/")
        }
    }

    /// Streams a blob, from an offset if given, into the sink; returns after the last byte.
    /// - Throws: ``FetchFailure``, or whatever the sink throws.
    package func blob(
        _ digest: Digest,
        in repository: UpstreamRepository,
        from start: BlobStart,
        into sink: any BlobSink
    ) async throws {
        let transport = blobTransport(for: digest)
        let request = blobRequest(repository.blobURL(digest), from: start)
        let gate = gate("blob \(digest)", in: repository, from: start, into: sink)
        let head = try await follow(request, in: repository, for: "blob \(digest)", isBlob: true) { request in
            do {
                let head = try await transport.receive(request, into: gate)
                return (head, head)
            } catch let unwanted as BlobGate.Unwanted {
                return (unwanted.head, unwanted.head)
            }
        }
        guard head.status == 200 || head.status == 206 else {
            throw FetchFailure.status(head, asking: repository, for: "blob \(digest)")
        }
    }

    func gate(
        _ what: String,
        in repository: UpstreamRepository,
        from start: BlobStart,
        into sink: any BlobSink
    ) -> BlobGate {
        BlobGate(
            what: what,
            repository: repository,
            start: start,
            sink: sink,
            meter: meter,
            received: metrics.received(from: repository.address.baseURL)
        )
    }

    func blobTransport(for digest: Digest) -> HTTPTransport {
        blobTransports[Int(digest.hex.utf8.last ?? 0) % blobTransports.count]
    }

    func blobRequest(_ url: String, from start: BlobStart) -> HTTPTransportRequest {
        var request = HTTPTransportRequest(url: url)
        request.headers[.accept] = "*/*"
        request.headers[.acceptEncoding] = "identity"
        if start.offset > 0 {
            request.headers[.range] = "bytes=\(start.offset)-"
            request.headers[.ifRange] = start.validator
        }
        deadlines.apply(to: &request, isSmall: false)
        return request
    }

    private func exchange(
        _ method: HTTPRequest.Method,
        _ reference: Reference,
        in repository: UpstreamRepository
    ) async throws -> HTTPTransportResponse {
        var request = HTTPTransportRequest(method: method, url: repository.manifestURL(reference))
        request.headers[.accept] = MediaType.manifestAccept
        request.headers[.acceptEncoding] = "identity"
        deadlines.apply(to: &request, isSmall: true)
        return try await follow(request, in: repository, for: "manifest \(reference)") { request in
            let response = try await api.send(request)
            return (response, response.head)
        }
    }

    /// Sends a request, authorized as this repository wants it, and follows redirects and one challenge.
    private func follow<Response>(
        _ original: HTTPTransportRequest,
        in repository: UpstreamRepository,
        for what: String,
        isBlob: Bool = false,
        send: (HTTPTransportRequest) async throws -> (Response, HTTPTransportHead)
    ) async throws -> Response {
        var request = original
        request.headers[.authorization] = try await authorizer.authorization(for: repository)
        var hops = 0
        var isRenewed = false
        let baseURL = repository.address.baseURL
        while true {
            // What the registry redirects to is no measure of the registry.
            let isRegistry = Redirect.isSameOrigin(request.url, original.url)
            let (response, head): (Response, HTTPTransportHead)
            if isRegistry { try await governor.admit(baseURL, isBlob: isBlob) }
            meter?.asked(for: repository.organization)
            do {
                let asked = request
                (response, head) = try await withSpan(asked.method.rawValue, ofKind: .client) { span in
                    span.tell(asked, for: what)
                    let (response, head) = try await send(asked)
                    span.tell(head)
                    return (response, head)
                }
                metrics.asked(baseURL, status: head.status)
            } catch let error as HTTPTransportError {
                metrics.asked(baseURL, status: nil)
                let failure = FetchFailure.transport(error, asking: repository, for: what)
                // A body that broke off was an answer: big ones break where the registry is in good health.
                if isRegistry, error.code != .truncated, error.code != .idleTimeout {
                    await governor.failed(baseURL, failure, isProbe: false)
                }
                throw failure
            }
            if isRegistry {
                if FetchFailure.isOutage(head.status) {
                    await governor.failed(baseURL, .status(head, asking: repository, for: what), isProbe: false)
                } else {
                    await governor.answered(baseURL, RateLimit(head.headers))
                }
            }
            if Redirect.statuses.contains(head.status) {
                hops += 1
                let target = try Redirect.target(of: head, from: request.url, hop: hops, repository: repository, what)
                // Credentials belong to the registry, not to whom it points to (RFC 9110 section 15.4).
                if !Redirect.isSameOrigin(target, original.url) { request.headers[.authorization] = nil }
                request.url = target
                continue
            }
            // A challenge of a host that we were redirected to is none of the registry's.
            // Some registries answer 400 to a token that has expired.
            let rejected = request.headers[.authorization]
            let isChallenge = head.status == 401 || (head.status == 400 && rejected?.hasPrefix("Bearer ") == true)
            if isChallenge, !isRenewed, isRegistry {
                isRenewed = true
                if let fresh = try await authorizer.renew(head, rejected: rejected, for: repository) {
                    request = original
                    request.headers[.authorization] = fresh
                    continue
                }
            }
            return response
        }
    }
}

/// A manifest as upstream sent it, unverified.
package struct UpstreamManifest: Sendable {
    package let bytes: [UInt8]
    package let contentType: MediaType?
    /// What upstream says the digest is: a claim, of this same answer. Nil when it says nothing that is a digest.
    package let claimedDigest: Digest?
}

/// What one check asks says nothing of the upstream's health.
private struct NoGovernor: UpstreamGovernor {
    func admit(_ baseURL: String, isBlob: Bool) async throws {}
    func answered(_ baseURL: String, _ limit: RateLimit?) async {}
    func failed(_ baseURL: String, _ failure: FetchFailure, isProbe: Bool) async {}
}

private struct FixedCredentials: CredentialSource {
    let credentials: UpstreamCredentials?

    func credentials(
        for organization: OrganizationID,
        at upstream: UpstreamAddress
    ) async throws -> UpstreamCredentials? { credentials }
}
