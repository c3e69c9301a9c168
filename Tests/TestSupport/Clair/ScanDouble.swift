// SPDX-License-Identifier: Apache-2.0

package import Foundation
import HTTPTransport
package import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import OCI
import Synchronization

/// A double of Clair 4.9, for tests and demonstrations: speaks its API with the statuses and quirks of its code, gets every
/// layer from the address that it was given, checks its digest, and reports the Debian packages in it. It is not Clair.
package final class ScanDouble: Sendable {
    package struct RecordedRequest: Sendable {
        package let method: String
        package let path: String
        package let headers: HTTPFields
        package let body: [UInt8]
    }

    struct State {
        var indexState = "aae368a064d7c5a433d0bf2c4f5554cc"
        var images: [String: IndexedImage] = [:]
        /// Answered in place of what was found.
        var canned: [String: String] = [:]
        var known: [KnownVulnerability] = []
        /// JSON of their items.
        var notifications: [String: [String]] = [:]
        /// Nil lets everybody in.
        var key: Data?
        var issuers = ["quay"]
        /// Whether the matcher has its data.
        var hasData = true
        /// Index calls that run at once before 429.
        var concurrency = Int.max
        var running = 0
        var mostRunning = 0
        var faults: [Fault] = []
        var requests: [RecordedRequest] = []
        var complaints: [String] = []
    }

    let state = Mutex(State())
    let layers: LayerReader
    let schema: ClairSchemas
    private let bound = Mutex<Int>(0)

    package var url: String { "http://127.0.0.1:\(bound.withLock { $0 })" }

    private init() throws {
        schema = try ClairSchemas()
        layers = LayerReader(
            transport: HTTPTransport(
                HTTPTransportConfiguration(addressPolicy: .unrestricted, proxies: .none),
                logger: Logger(label: "scan-double")
            )
        )
    }

    /// Runs a double while `body` runs.
    /// - Parameter port: 0 for any free one
    package static func with<Result: Sendable>(
        port: Int = 0,
        _ body: (ScanDouble) async throws -> Result
    ) async throws -> Result {
        let double = try ScanDouble()
        defer { double.layers.transport.shutdown() }
        return try await TestServer.with(port: port) { request, writer, channel in
            try await double.respond(request, writer, channel)
        } _: { port in
            double.bound.withLock { $0 = port }
            return try await body(double)
        }
    }

    // MARK: - What it knows and does

    package func know(_ vulnerability: KnownVulnerability) { state.withLock { $0.known.append(vulnerability) } }

    /// Has it answer this report of an image, whatever it finds.
    package func report(_ json: String, of digest: String) { state.withLock { $0.canned[digest] = json } }

    package func requireKey(_ key: Data, issuers: [String] = ["quay"]) {
        state.withLock { ($0.key, $0.issuers) = (key, issuers) }
    }

    /// As after an upgrade: it sees more.
    package func change(indexState: String) { state.withLock { $0.indexState = indexState } }

    package func setHasData(_ hasData: Bool) { state.withLock { $0.hasData = hasData } }

    package func limit(concurrency: Int) { state.withLock { $0.concurrency = concurrency } }

    package func fault(_ match: String, _ action: Fault.Action, times: Int? = nil) {
        state.withLock { $0.faults.append(Fault(match, action, times: times)) }
    }

    package func clearFaults() { state.withLock { $0.faults = [] } }

    /// Forgets an image.
    package func forget(_ digest: String) { state.withLock { $0.images[digest] = nil } }

    /// Has something to tell: each item is a manifest's digest and a vulnerability.
    package func notification(
        _ id: UUID,
        _ items: [(manifest: String, vulnerability: KnownVulnerability, reason: String)]
    ) {
        let texts = items.map { item in
            // The program sends `severity` where its schema has `normalized_severity`.
            """
            {"id":"\(UUID().uuidString.lowercased())","manifest":"\(item.manifest)","reason":"\(item.reason)",
            "vulnerability":{"name":"\(item.vulnerability.name)","fixed_in_version":"\(item.vulnerability.fixedIn)",
            "links":"https://security-tracker.debian.org/tracker/\(item.vulnerability.name)",
            "description":"found in \(item.vulnerability.package)","severity":"\(item.vulnerability.severity)",
            "package":{"name":"\(item.vulnerability.package)","version":"1"}}}
            """
        }
        state.withLock { $0.notifications[id.uuidString.lowercased()] = texts }
    }

    /// Tells of a notification, as Clair's notifier does.
    /// - Parameter key: nil for the double's own
    package func post(_ id: UUID, to registry: TestClient, key: Data? = nil) async throws -> TestClient.Answer {
        let key = key ?? state.withLock(\.key) ?? Data()
        let now = Date()
        let token = ScannerToken.make(
            issuer: "clair-intraservice",
            key: key,
            issued: now,
            expires: now.addingTimeInterval(60)
        )
        let name = id.uuidString.lowercased()
        // Whoever asks there is fooled.
        let body =
            "{\"notification_id\":\"\(name)\",\"callback\":\"http://127.0.0.1:9/notifier/api/v1/notification/\(name)\"}"
        return try await registry.send(
            .post,
            "/secscan/notification",
            [.authorization: "Bearer \(token)", .contentType: "application/json"],
            body: Array(body.utf8)
        )
    }

    // MARK: - What it was asked

    package var requests: [RecordedRequest] { state.withLock(\.requests) }

    /// Requests whose method and path contain the text.
    package func count(_ match: String) -> Int { requests.filter { "\($0.method) \($0.path)".contains(match) }.count }

    package func forgetRequests() { state.withLock { $0.requests = [] } }

    /// What was wrong with manifests that it was sent, by its schema.
    package var complaints: [String] { state.withLock(\.complaints) }

    /// Digests that it has indexed well.
    package var indexed: Set<String> {
        state.withLock { Set($0.images.filter { $0.value.isSuccessful }.map(\.key)) }
    }

    /// The most index calls that ran at once.
    package var mostRunning: Int { state.withLock(\.mostRunning) }

    // MARK: - Answering

    @concurrent
    private func respond(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let path = request.head.path ?? ""
        let line = "\(request.method) \(path)"
        let body = Array(try await request.body.collect(upTo: 4_194_304).readableBytesView)
        let fault = state.withLock { state -> Fault.Action? in
            state.requests.append(
                RecordedRequest(method: request.method.rawValue, path: path, headers: request.headers, body: body)
            )
            guard let index = state.faults.firstIndex(where: { line.contains($0.match) && $0.times != 0 }) else {
                return nil
            }
            if let times = state.faults[index].times { state.faults[index].times = times - 1 }
            return state.faults[index].action
        }
        if case .hold(let gate) = fault { await gate.pass() }
        var answer: UpstreamAnswer
        if case .answer(let status, let headers, let body) = fault {
            answer = UpstreamAnswer(status: status, body: body)
            answer.headers = headers
        } else {
            answer = await self.answer(request.method, path, request.headers, body)
            answer.apply(fault)
        }
        try await answer.write(writer, channel, isHead: request.method == .head)
    }
}
