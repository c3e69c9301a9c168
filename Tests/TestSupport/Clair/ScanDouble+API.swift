// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import OCI
import Synchronization

/// Clair's calls, one by one (`httptransport`).
extension ScanDouble {
    func answer(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ headers: HTTPFields,
        _ body: [UInt8]
    ) async -> UpstreamAnswer {
        let base = String(path.prefix { $0 != "?" })
        if base == "/robots.txt" { return UpstreamAnswer(status: 200, body: Array("User-agent: *\nDisallow: /".utf8)) }
        let (key, issuers) = state.withLock { ($0.key, $0.issuers + ["clair-intraservice"]) }
        if let key, !ScannerToken.isGood(headers[.authorization], key: key, issuers: issuers) {
            return UpstreamAnswer(status: 401, body: [])
        }
        let parts = base.split(separator: "/").map(String.init)
        guard parts.count >= 4, parts[1] == "api", parts[2] == "v1" else { return Self.error(404, "not-found") }
        let argument = parts.count > 4 ? parts[4] : nil
        switch (parts[0], parts[3], argument) {
        case ("indexer", "index_report", nil) where method == .post: return await index(headers, body)
        case ("indexer", "index_report", nil) where method == .delete: return deleteAll(body)
        case ("indexer", "index_report", let digest?): return indexReport(method, digest, headers)
        case ("indexer", "index_state", nil): return indexState(headers)
        case ("matcher", "vulnerability_report", let digest?): return vulnerabilityReport(digest)
        case ("notifier", "notification", let id?): return notification(method, id, path)
        default: return Self.error(404, "not-found")
        }
    }

    // MARK: - Indexer

    private var entityTag: String { "\"\(state.withLock(\.indexState))\"" }

    private func index(_ headers: HTTPFields, _ body: [UInt8]) async -> UpstreamAnswer {
        if headers[.ifNoneMatch] == entityTag { return Self.error(412, "bad-request") }
        guard let json = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] else {  // undecodable
            return Self.error(400, "bad-request", "failed to deserialize manifest")
        }
        let complaints = schema.complaints(aboutManifest: json)
        state.withLock { $0.complaints += complaints }
        guard complaints.isEmpty, let hash = json["hash"] as? String else {
            return Self.error(400, "bad-request", complaints.joined(separator: "; "))
        }
        guard let layers = json["layers"] as? [[String: Any]], !layers.isEmpty else {
            return Self.error(400, "bad-request", "bogus manifest")
        }
        let isLetIn = state.withLock { state in
            guard state.running < state.concurrency else { return false }
            state.running += 1
            state.mostRunning = max(state.mostRunning, state.running)
            return true
        }
        guard isLetIn else { return Self.error(429, "too-many-requests", "server handling too many requests") }
        defer { state.withLock { $0.running -= 1 } }
        var image = IndexedImage()
        do {
            image.packages = try await packages(layers)
        } catch LayerReader.Failure.format(let reason) {
            return Self.error(400, "bad-request", reason)
        } catch {
            image.state = "IndexError"
            image.error = "failed to fetch layers: \(error)"
        }
        let done = image
        state.withLock { $0.images[hash] = done }
        guard done.isSuccessful else { return Self.error(500, "internal-error", done.error) }
        var answer = Self.json(201, done.indexReport(hash))
        answer.headers[.contentType] = "application/vnd.clair.index_report.v1+json"
        answer.headers[.eTag] = entityTag
        answer.headers[.location] = "/indexer/api/v1/index_report/\(hash)"
        for name in ["index_report", "vulnerability_report"] {
            answer.headers.append(
                HTTPField(name: .link, value: "</\(name)/\(hash)>; rel=\"https://projectquay.io/clair/v1/\(name)\"")
            )
        }
        return answer
    }

    /// The list of the last layer that has one holds for the image.
    private func packages(_ layers: [[String: Any]]) async throws -> [(package: DebianPackage, layer: String)] {
        var found: [(package: DebianPackage, layer: String)] = []
        for layer in layers {
            let hash = layer["hash"] as? String ?? ""
            guard let digest = OCI.Digest(rawValue: hash), let uri = layer["uri"] as? String else {
                throw LayerReader.Failure.fetch("no layer")
            }
            let listed = try await self.layers.packages(
                of: digest,
                at: uri,
                layer["headers"] as? [String: [String]] ?? [:]
            )
            guard !listed.isEmpty else { continue }
            let before = Dictionary(found.map { ($0.package, $0.layer) }) { first, _ in first }
            found = listed.map { ($0, before[$0] ?? hash) }
        }
        return found
    }

    private func indexReport(_ method: HTTPRequest.Method, _ text: String, _ headers: HTTPFields) -> UpstreamAnswer {
        guard OCI.Digest(rawValue: text) != nil else { return Self.error(400, "bad-request", "malformed path") }
        if method == .delete {
            state.withLock { _ = $0.images.removeValue(forKey: text) }
            return UpstreamAnswer(status: 204, body: [])
        }
        if let accept = headers[.accept], !accept.contains("json"), !accept.contains("*/*") {
            return Self.error(415, "unknown-media-type")
        }
        // Before it is looked whether there is one.
        if headers[.ifNoneMatch] == entityTag { return UpstreamAnswer(status: 304, body: []) }
        guard let image = state.withLock({ $0.images[text] }) else { return Self.error(404, "not-found") }
        var answer = Self.json(200, image.indexReport(text))
        answer.headers[.contentType] = "application/vnd.clair.index_report.v1+json"
        answer.headers[.eTag] = entityTag
        return answer
    }

    private func deleteAll(_ body: [UInt8]) -> UpstreamAnswer {
        guard let digests = try? JSONDecoder().decode([String].self, from: Data(body)) else {  // undecodable
            return Self.error(400, "bad-request")
        }
        return Self.json(
            200,
            state.withLock { state in digests.filter { state.images.removeValue(forKey: $0) != nil } }
        )
    }

    private func indexState(_ headers: HTTPFields) -> UpstreamAnswer {
        if headers[.ifNoneMatch] == entityTag { return UpstreamAnswer(status: 304, body: []) }
        var answer = Self.json(200, ["state": state.withLock(\.indexState)])
        answer.headers[.eTag] = entityTag
        return answer
    }

    // MARK: - Matcher

    private func vulnerabilityReport(_ text: String) -> UpstreamAnswer {
        guard OCI.Digest(rawValue: text) != nil else { return Self.error(400, "bad-request", "malformed path") }
        let (hasData, image, canned, known) = state.withLock {
            ($0.hasData, $0.images[text], $0.canned[text], $0.known)
        }
        // An answer without a body that its OpenAPI document doesn't know.
        guard hasData else { return UpstreamAnswer(status: 202, body: []) }
        guard let image, image.isSuccessful else { return Self.error(404, "not-found") }
        var answer =
            canned.map { UpstreamAnswer(status: 200, body: Array($0.utf8)) }
            ?? Self.json(200, image.vulnerabilityReport(text, known))
        // That of another document, as in its code.
        answer.headers[.contentType] = "application/vnd.clair.index_report.v1+json"
        answer.headers[.cacheControl] = "max-age=3600"
        return answer
    }

    // MARK: - Notifier

    private func notification(_ method: HTTPRequest.Method, _ id: String, _ path: String) -> UpstreamAnswer {
        guard UUID(uuidString: id) != nil else {
            return Self.error(400, "bad-request", "could not parse notification id")
        }
        if method == .delete {
            state.withLock { _ = $0.notifications.removeValue(forKey: id) }
            return UpstreamAnswer(status: 200, body: [])
        }
        let query = URLComponents(string: path)?.queryItems ?? []
        func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
        let size = max(1, value("page_size").flatMap(Int.init) ?? 500)
        let start = value("next").flatMap(Int.init) ?? 0
        let items = state.withLock { $0.notifications[id] ?? [] }
        let page = items.dropFirst(start).prefix(size)
        let next = start + page.count < items.count ? ",\"next\":\"\(start + page.count)\"" : ""
        let text = "{\"page\":{\"size\":\(size)\(next)},\"notifications\":[\(page.joined(separator: ","))]}"
        return UpstreamAnswer(status: 200, body: Array(text.utf8))
    }

    // MARK: - Bodies

    private static func json(_ status: Int, _ value: Any) -> UpstreamAnswer {
        let data = try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys])  // made above: it is JSON
        var answer = UpstreamAnswer(status: status, body: Array(data ?? Data()))
        answer.headers[.contentType] = "application/json"
        return answer
    }

    private static func error(_ status: Int, _ code: String, _ message: String = "no") -> UpstreamAnswer {
        json(status, ["code": code, "message": message])
    }
}
