// SPDX-License-Identifier: Apache-2.0

import Foundation
package import HTTPTypes
import HummingbirdCore
import NIOCore
import OCI
import Synchronization

/// The pull half of a registry, in this process, which does what a test tells it to, right or wrong.
package final class ScriptedUpstream: Sendable {
    package struct RecordedRequest: Sendable {
        package let method: String
        package let path: String
        package let headers: HTTPFields
    }

    private struct State {
        var manifests: [String: [String: ImageFixture]] = [:]
        var tags: [String: [String: OCI.Digest]] = [:]
        var blobs: [String: ImageFixture.Blob] = [:]
        var faults: [Fault] = []
        var requests: [RecordedRequest] = []
        var bearer: Bearer?
        var tokens: Set<String> = []
        var lists = UpstreamLists()
    }

    private let state = Mutex(State())
    private let bound = Mutex<Int>(0)

    package var port: Int { bound.withLock { $0 } }
    /// `127.0.0.1:PORT`.
    package var host: String { "127.0.0.1:\(port)" }
    package var url: String { "http://\(host)" }

    private init() {}

    /// Runs an upstream while `body` runs.
    package static func with<Result: Sendable>(
        _ body: (ScriptedUpstream) async throws -> Result
    ) async throws -> Result {
        let upstream = ScriptedUpstream()
        return try await TestServer.with { request, writer, channel in
            try await upstream.respond(request, writer, channel)
        } _: { port in
            upstream.bound.withLock { $0 = port }
            return try await body(upstream)
        }
    }

    // MARK: - What it has

    package func add(_ image: ImageFixture, to repository: String, tag: String? = nil) {
        state.withLock { add(image, to: repository, tag: tag, in: &$0) }
    }

    package func remove(tag: String, from repository: String) {
        state.withLock { $0.tags[repository]?[tag] = nil }
    }

    private func add(_ image: ImageFixture, to repository: String, tag: String?, in state: inout State) {
        state.manifests[repository, default: [:]][image.digest.description] = image
        if let tag { state.tags[repository, default: [:]][tag] = image.digest }
        for blob in image.blobs { state.blobs["\(repository)@\(blob.digest)"] = blob }
        for child in image.children { add(child, to: repository, tag: nil, in: &state) }
    }

    /// Changes what it lists.
    package func list(_ change: (inout UpstreamLists) -> Void) { state.withLock { change(&$0.lists) } }

    // MARK: - What it does wrong

    package func fault(_ match: String, _ action: Fault.Action, times: Int? = nil) {
        state.withLock { $0.faults.append(Fault(match, action, times: times)) }
    }

    package func clearFaults() { state.withLock { $0.faults = [] } }

    package func requireBearer(_ bearer: Bearer = Bearer()) { state.withLock { $0.bearer = bearer } }

    /// Takes back every token that was given out.
    package func revokeTokens() { state.withLock { $0.tokens = [] } }

    // MARK: - What it was asked

    package var requests: [RecordedRequest] { state.withLock { $0.requests } }

    /// Requests whose method and path contain the text.
    package func count(_ match: String) -> Int {
        requests.filter { "\($0.method) \($0.path)".contains(match) }.count
    }

    package func forgetRequests() { state.withLock { $0.requests = [] } }

    // MARK: - Answering

    @concurrent
    private func respond(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let path = request.head.path ?? ""
        let line = "\(request.method) \(path)"
        let fault = state.withLock { state -> Fault.Action? in
            state.requests.append(
                RecordedRequest(method: request.method.rawValue, path: path, headers: request.headers)
            )
            guard let index = state.faults.firstIndex(where: { line.contains($0.match) && $0.times != 0 }) else {
                return nil
            }
            if let times = state.faults[index].times { state.faults[index].times = times - 1 }
            return state.faults[index].action
        }
        if case .hold(let gate) = fault { await gate.pass() }
        var headers = request.headers
        if case .ignoreRange = fault { headers[.range] = nil }
        let body = try await request.body.collect(upTo: 65_536)
        var answer = answer(request.method, path, headers, String(buffer: body))
        answer.apply(fault)
        try await answer.write(writer, channel, isHead: request.method == .head)
    }

    private func answer(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ headers: HTTPFields,
        _ body: String
    ) -> UpstreamAnswer {
        let base = String(path.prefix { $0 != "?" })
        if base == "/token" { return token(method, headers, body) }
        if let refusal = challenge(method, headers) { return refusal }
        if base == "/v2/" { return UpstreamAnswer(status: 200, body: Array("{}".utf8)) }
        guard let request = try? RegistryRequest(method: .get, target: path) else {  // a bad path is an unknown one
            return .error(404, "NAME_INVALID")
        }
        switch request.route {
        case .manifest(let name, let reference): return manifest(name.description, reference)
        case .blob(let name, let digest): return blob(name.description, digest, headers)
        case .tagList(let name, _, _):
            return state.withLock(\.lists).tags(of: name.description, URLComponents(string: path) ?? URLComponents())
        case .referrers(let name, let subject, _, _):
            let query = URLComponents(string: path) ?? URLComponents()
            return state.withLock(\.lists).referrers(of: subject, in: name.description, query)
        default: return .error(404, "UNSUPPORTED")
        }
    }

    private func manifest(_ repository: String, _ reference: Reference) -> UpstreamAnswer {
        let image = state.withLock { state -> ImageFixture? in
            let digest =
                switch reference {
                case .digest(let digest): digest.description
                case .tag(let tag): state.tags[repository]?[tag.rawValue]?.description ?? ""
                }
            return state.manifests[repository]?[digest]
        }
        guard let image else { return .error(404, "MANIFEST_UNKNOWN") }
        var answer = UpstreamAnswer(status: 200, body: image.bytes)
        answer.headers[.contentType] = image.mediaType
        answer.headers[.dockerContentDigest] = image.digest.description
        return answer
    }

    private func blob(_ repository: String, _ digest: OCI.Digest, _ headers: HTTPFields) -> UpstreamAnswer {
        guard let blob = state.withLock({ $0.blobs["\(repository)@\(digest)"] }) else {
            return .error(404, "BLOB_UNKNOWN")
        }
        var answer = UpstreamAnswer(status: 200, blob: blob, range: 0..<blob.size)
        answer.headers[.contentType] = "application/octet-stream"
        answer.headers[.eTag] = "\"\(digest)\""
        if let condition = headers[.ifRange], condition != "\"\(digest)\"" { return answer }
        guard case .satisfiable(let slices) = ByteRange.resolve(header: headers[.range], size: blob.size),
            let slice = slices.first
        else { return answer }
        answer.status = 206
        answer.range = slice.offset..<slice.offset + slice.length
        answer.headers[.contentRange] = slice.contentRange(size: blob.size)
        return answer
    }

    // MARK: - Tokens

    private func token(_ method: HTTPRequest.Method, _ headers: HTTPFields, _ body: String) -> UpstreamAnswer {
        let bearer = state.withLock { $0.bearer } ?? Bearer()
        if let status = method == .post ? bearer.postStatus : bearer.getStatus { return .error(status, "UNSUPPORTED") }
        if method == .post {
            guard bearer.form.allSatisfy(body.contains) else { return .error(bearer.formStatus, "UNAUTHORIZED") }
        } else if let wanted = bearer.basic, headers[.authorization] != wanted {
            return .error(bearer.anonymousStatus, "UNAUTHORIZED")
        }
        let token = UUID().uuidString
        state.withLock { _ = $0.tokens.insert(token) }
        return UpstreamAnswer(status: 200, body: Array(bearer.reply.replacing("{token}", with: token).utf8))
    }

    private func challenge(_ method: HTTPRequest.Method, _ headers: HTTPFields) -> UpstreamAnswer? {
        let (bearer, tokens) = state.withLock { ($0.bearer, $0.tokens) }
        guard let bearer else { return nil }
        let sent = headers[.authorization]
        if let sent, sent.hasPrefix("Bearer "), tokens.contains(String(sent.dropFirst(7))) { return nil }
        if let registry = bearer.registryBasic, sent == registry { return nil }
        let isExpired = sent?.hasPrefix("Bearer ") == true
        var answer = UpstreamAnswer.error(isExpired ? bearer.expiredStatus : 401, "UNAUTHORIZED")
        for challenge in method == .head ? bearer.headChallenges ?? bearer.challenges : bearer.challenges {
            let text = challenge.replacing("{realm}", with: bearer.realm ?? "\(url)/token")
            answer.headers.append(HTTPField(name: .wwwAuthenticate, value: text))
        }
        return answer
    }
}
