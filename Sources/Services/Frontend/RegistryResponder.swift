// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import Logging
import Models
import NIOCore
import OCI
import PullThrough
import Tracing

/// From a request to its answer: parse, find the organization, ask the endpoint, write, record.
///
/// Endpoints return replies or throw; this is the only place that logs.
struct RegistryResponder: Sendable {
    let organizations: OrganizationDirectory
    let access: RegistryAccess
    let tokens: TokenEndpoint
    let manifests: ManifestEndpoint
    let blobs: BlobEndpoint
    let lists: ListEndpoint
    let scanner: ScannerEndpoint
    let log: PullLog
    let traffic: TrafficCounter
    let other: FrontendService.OtherPaths?
    let proxies: TrustedProxies
    let metrics = FrontendMetrics()
    let traces = RequestTraces()
    let logger: Logger

    /// Whether the request is one of the registry's that has no body.
    func isOurs(_ head: HTTPRequest) -> Bool {
        (head.method == .get || head.method == .head) && !isOthers(head.path ?? "")
    }

    /// Whether whoever answers the request reads its body.
    func readsBody(_ head: HTTPRequest) -> Bool {
        let path = head.path ?? ""
        guard !isOthers(path) else { return true }
        return head.method == .post
            && (path.prefix { $0 != "?" } == TokenService.path || path.hasPrefix(ScannerEndpoint.prefix))
    }

    private func isOthers(_ path: String) -> Bool { other?.prefixes.contains(where: path.hasPrefix) == true }

    /// Answers what has a body, or waits to be told whether to send one, and what belongs to the other service.
    @concurrent
    func respond(
        to request: Request,
        _ writer: consuming ResponseWriter,
        on channel: any Channel
    ) async throws {
        if let other, isOthers(request.uri.path) {
            let id = RequestID(of: request)
            let origin = proxies.origin(of: request.headers, on: channel)
            let span = traces.begin(request.head, id, from: origin)
            var status = 500
            defer { traces.end(span, request, status: status, from: origin.address) }
            var response = try await ServiceContext.withValue(span.context) {
                try await other.respond(request, origin.address ?? "unknown")
            }
            status = response.status.code
            response.headers[.requestID] = id.rawValue
            // What follows the head of an answer to HEAD would be taken for the next answer (RFC 9110 section 9.3.2).
            let body = request.method == .head ? ResponseBody() : response.body
            return try await writer.write(response: response.head, body: body)
        }
        let exchange = await answer(request, on: channel)
        let body = exchange.reply.responseBody(on: channel, isHead: request.method == .head)
        do {
            try await writer.write(response: exchange.reply.head, body: body)
        } catch {
            end(exchange, failure: error)
            throw error
        }
        end(exchange, failure: nil)
    }

    /// Finds the answer, which remains to be written, and then to be ended.
    @concurrent
    func answer(_ request: Request, on channel: any Channel) async -> Exchange {
        let start = ContinuousClock.now
        let id = RequestID(of: request)
        let origin = proxies.origin(of: request.headers, on: channel)
        let span = traces.begin(request.head, id, from: origin)
        var (reply, outcome, kind) = await ServiceContext.withValue(span.context) {
            await answer(request, from: origin)
        }
        reply.headers[.requestID] = id.rawValue
        return Exchange(
            request: request,
            id: id,
            span: span,
            address: origin.address,
            start: start,
            wait: ContinuousClock.now - start,
            reply: reply,
            outcome: outcome,
            kind: kind
        )
    }

    /// Counts and logs what was sent.
    /// - Parameter failure: why it isn't all that there is
    func end(_ exchange: Exchange, failure: (any Error)?) {
        var bytes = exchange.request.method == .head ? 0 : exchange.reply.contentLength ?? 0
        if case .blob(let body) = exchange.reply.body, let organization = body.organization {
            bytes = body.sent.bytes
            traffic.blob(bytes: bytes, of: organization)
        }
        metrics.answered(status: exchange.reply.status)
        if let kind = exchange.kind {
            metrics.pulled(kind, exchange.outcome ?? .error, bytes: bytes, after: exchange.wait)
        }
        traces.end(
            exchange.span,
            exchange.request,
            status: exchange.reply.status,
            from: exchange.address,
            pull: exchange.kind.map { ($0, exchange.outcome ?? .error) },
            failure: failure
        )
        record(exchange, failure)
    }

    private func answer(_ request: Request, from origin: RequestOrigin) async -> (Reply, PullOutcome?, PullKind?) {
        var kind: PullKind?
        do {
            let (reply, outcome) = try await route(request, kind: &kind, from: origin)
            return (reply, outcome, kind)
        } catch let error as RegistryError {
            return (Reply(error), .error, kind)
        } catch let failure as FetchFailure {
            return (Reply(RegistryError(failure, unknown: .nameUnknown)), .error, kind)
        } catch {
            // The cache's own failure: the client learns that it isn't its fault, the log learns the rest.
            logger.error("request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            let refusal = RegistryError(
                .unavailable,
                status: 503,
                message: "the cache can't answer at the moment",
                retryAfterSeconds: 5
            )
            return (Reply(refusal), .error, kind)
        }
    }

    private func route(
        _ request: Request,
        kind: inout PullKind?,
        from origin: RequestOrigin
    ) async throws -> (Reply, PullOutcome?) {
        if request.uri.path == TokenService.path {
            return (try await tokens.answer(request, from: origin.address), nil)
        }
        if request.uri.path.hasPrefix(ScannerEndpoint.prefix) { return (try await scanner.answer(request), nil) }
        let parsed = try RegistryRequest(method: request.method, target: request.head.path ?? "")
        switch parsed.route {
        case .manifest: kind = .manifest
        case .blob: kind = .blob
        case .ping, .tagList, .referrers, .push: break
        }
        var (reply, outcome) = try await route(parsed, request, from: origin)
        // Says that the parameter was used (distribution-spec "Registry Proxying").
        if let namespace = parsed.namespace { reply.headers[.ociNamespace] = namespace }
        return (reply, outcome)
    }

    private func route(
        _ parsed: RegistryRequest,
        _ request: Request,
        from origin: RequestOrigin
    ) async throws -> (Reply, PullOutcome?) {
        if case .push(let kind) = parsed.route { throw Self.readOnly(kind) }
        let caller = try await access.caller(request.headers, for: origin)
        switch parsed.route {
        case .ping:
            try access.checkPing(caller, for: origin)
            return (
                Reply(
                    status: 200,
                    headers: [.contentType: "application/json"],
                    body: .bytes(Array("{}".utf8)),
                    contentLength: 2
                ), nil
            )
        case .manifest(let name, let reference):
            let place = try await place(name, parsed.namespace, caller, from: origin)
            return try await pull(reference, place, caller, isHead: parsed.isHead, request, from: origin)
        case .blob(let name, let digest):
            let place = try await place(name, parsed.namespace, caller, from: origin)
            return try await blobs.answer(digest, in: place, headers: request.headers, isHead: parsed.isHead)
        case .tagList(let name, let limit, let last):
            let place = try await place(name, parsed.namespace, caller, from: origin)
            return (try await lists.tags(of: place, parsed, limit: limit, after: last), nil)
        case .referrers(let name, let digest, let artifactType, let last):
            let place = try await place(name, parsed.namespace, caller, from: origin)
            let reply = try await lists.referrers(
                of: digest,
                in: place,
                parsed,
                artifactType: artifactType,
                after: last
            )
            return (reply, nil)
        case .push(let kind):
            throw Self.readOnly(kind)
        }
    }

    /// Answers, and writes the pull down first: what was served is in the log.
    private func pull(
        _ reference: Reference,
        _ place: RequestedRepository,
        _ caller: Caller,
        isHead: Bool,
        _ request: Request,
        from origin: RequestOrigin
    ) async throws -> (Reply, PullOutcome) {
        let start = ContinuousClock.now
        var entry = LogEntry(
            .pull,
            organization: place.organization,
            repository: place.repository.rawValue,
            account: caller.account,
            address: origin.address,
            userAgent: request.headers[.userAgent]
        )
        var facts = LogEntry.Pull(
            reference: reference,
            isHead: isHead,
            outcome: .error,
            status: 0,
            upstream: place.organization.proxyCache.map { "\($0.upstream)" },
            duration: .zero
        )
        do {
            let answer = try await manifests.answer(reference, in: place, headers: request.headers)
            facts.digest = answer.manifest.digest
            facts.mediaType = answer.manifest.mediaType
            facts.outcome = answer.outcome
            facts.status = answer.reply.status
            facts.bytes = isHead ? 0 : answer.reply.contentLength ?? 0
            facts.duration = ContinuousClock.now - start
            entry.pull = facts
            try await log.append(entry)
            traffic.manifest(answer.outcome, bytes: facts.bytes, of: place.organization.id)
            return (answer.reply, answer.outcome)
        } catch let error as RegistryError {
            facts.status = error.status
            facts.duration = ContinuousClock.now - start
            entry.kind = .failedPull
            entry.pull = facts
            entry.metadata = ["reason": error.message]
            try await log.append(entry)
            traffic.manifest(.error, bytes: 0, of: place.organization.id)
            throw error
        }
    }

    private static func readOnly(_ kind: RegistryRequest.PushKind) -> RegistryError {
        RegistryError(
            .unsupported,
            status: 405,
            message: "this is a cache: images are pulled through it, and pushed to the registry that it stands for",
            allowedMethods: kind.methodsToPull
        )
    }

    /// What the path means, unless a mirror's request says which registry it means.
    private func place(
        _ name: RepositoryName,
        _ namespace: String?,
        _ caller: Caller,
        from origin: RequestOrigin
    ) async throws -> RequestedRepository {
        let organization: Organization
        let rest: RepositoryName
        if let namespace {
            guard let found = try await organizations.find(standingFor: namespace, path: name) else {
                throw RegistryError(.nameUnknown, message: "no organization here stands for \(name) of \(namespace)")
            }
            (organization, rest) = found
            // Tokens know repositories by the organization's name, however they are reached.
            let full = RepositoryName(rawValue: "\(organization.name)/\(rest)") ?? name
            try access.checkPull(caller, from: organization, full, for: origin)
        } else {
            let found = try await organizations.find(path: name)
            guard found != nil || name.components.count > 1 else {
                throw RegistryError(.nameUnknown, message: "\(name) names no organization and repository")
            }
            try access.checkPull(caller, from: found?.organization, name, for: origin)
            guard let found else { throw RegistryError(.nameUnknown, message: "there is no repository \(name) here") }
            (organization, rest) = found
        }
        return RequestedRepository(
            name: name,
            organization: organization,
            repository: organization.proxyCache?.upstream.canonical(rest) ?? rest
        )
    }

    private func record(_ exchange: Exchange, _ failure: (any Error)?) {
        // Words cost more than the answer, and what was served is in the log of pulls: a line is for what went wrong.
        let level: Logger.Level = exchange.reply.status < 400 && failure == nil ? .debug : .info
        guard failure is FetchFailure || logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [
            "request.id": "\(exchange.id)",
            "method": "\(exchange.request.method)",
            "path": "\(exchange.request.uri.path)",
            "status": "\(exchange.reply.status)",
            "ms": "\((ContinuousClock.now - exchange.start) / .milliseconds(1))",
        ]
        if let outcome = exchange.outcome { metadata["outcome"] = "\(outcome)" }
        if let range = exchange.request.headers[.range] { metadata["range"] = "\(range)" }
        if let address = exchange.address { metadata["client"] = "\(address)" }
        guard let failure else { return logger.log(level: level, "served", metadata: metadata) }
        metadata["error"] = "\(failure)"
        if failure is FetchFailure {
            logger.warning("connection cut, the rest can't be had", metadata: metadata)
        } else {
            logger.info("client left", metadata: metadata)
        }
    }
}

/// A request, and the answer that was found for it.
struct Exchange: Sendable {
    let request: Request
    let id: RequestID
    let span: any Span
    /// The client's; nil where it has none.
    let address: String?
    let start: ContinuousClock.Instant
    /// How long it took to find the answer.
    let wait: Duration
    var reply: Reply
    /// Nil for what is no pull.
    let outcome: PullOutcome?
    let kind: PullKind?
}

extension RequestID {
    /// As the client calls the request, or a new one.
    fileprivate init(of request: Request) {
        self = request.headers[.requestID].flatMap(RequestID.init) ?? RequestID()
    }
}
