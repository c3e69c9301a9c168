// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import HTTPTransport
import HTTPTypes
import Models

/// Client of Clair v4's indexer, matcher and notifier, which answer as their code does and not always as their OpenAPI
/// document says. Contract-tested.
///
/// All calls throw ``ScanFailure`` or `CancellationError`.
package struct ClairClient: Sendable {
    package struct Configuration: Sendable {
        /// `http://HOST:PORT`, without a slash at its end.
        package var endpoint: String
        /// Indexing is one call, which fetches and reads all layers and may stand in line before that.
        package var indexDeadline: Duration = .seconds(600)
        /// Of every other call.
        package var deadline: Duration = .seconds(60)
        /// Of one page of a notification.
        package var pageSize = 500

        package init(endpoint: String) { self.endpoint = endpoint }
    }

    private static let maximumBytes = 128 * 1024 * 1024
    private static let maximumErrorBytes = 16 * 1024

    private let configuration: Configuration
    private let transport: HTTPTransport
    private let key: SharedKey?

    /// - Parameter key: nil for a Clair that lets everybody in
    package init(_ configuration: Configuration, transport: HTTPTransport, key: SharedKey?) {
        self.configuration = configuration
        self.transport = transport
        self.key = key
    }

    // MARK: - Indexer

    /// The indexer's state: changes when it learns to see more.
    package func indexState() async throws -> String {
        struct Body: Decodable { let state: String }
        let answer = try await send(.get, "/indexer/api/v1/index_state")
        guard answer.status == 200 else { throw answer.failure }
        return try answer.decode(Body.self).state
    }

    /// Has an image indexed, and returns when that is done, well or badly.
    package func index(_ manifest: ClairManifest) async throws -> IndexProgress {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let body = Array(try encoder.encode(manifest))
        let answer = try await send(
            .post,
            "/indexer/api/v1/index_report",
            body: body,
            deadline: configuration.indexDeadline
        )
        switch answer.status {
        case 200, 201: return try progress(answer)
        case 400: throw ScanFailure.refused(answer.reason)
        default: throw answer.failure
        }
    }

    /// How far the indexer is with an image; nil when it doesn't know it.
    package func indexProgress(of digest: String) async throws -> IndexProgress? {
        let answer = try await send(.get, "/indexer/api/v1/index_report/\(digest)")
        switch answer.status {
        case 200: return try progress(answer)
        case 404: return nil
        default: throw answer.failure
        }
    }

    /// Has the indexer forget an image. One that it doesn't know is no failure.
    package func forget(_ digest: String) async throws {
        let answer = try await send(.delete, "/indexer/api/v1/index_report/\(digest)")
        guard [200, 204, 404].contains(answer.status) else { throw answer.failure }
    }

    private func progress(_ answer: Answer) throws -> IndexProgress {
        let fields = try answer.decode(IndexReportFields.self)
        return IndexProgress(
            indexState: answer.entityTag,
            state: fields.state,
            isSuccessful: fields.success,
            error: fields.err
        )
    }

    // MARK: - Matcher

    /// What is known of an image that was indexed: as it was sent, and as it was understood.
    package func vulnerabilityReport(of digest: String) async throws -> (text: String, report: VulnerabilityReport) {
        let answer = try await send(.get, "/matcher/api/v1/vulnerability_report/\(digest)")
        switch answer.status {
        // The OpenAPI document says 201.
        case 200, 201:
            return (String(decoding: answer.body, as: UTF8.self), try VulnerabilityReport(json: answer.body))
        // Not in the document at all: the matcher hasn't got its data yet.
        case 202: throw ScanFailure.later("the scanner is still fetching its vulnerability data")
        case 404: throw ScanFailure.unknownImage
        default: throw answer.failure
        }
    }

    // MARK: - Notifier

    /// A page of a notification; nil when the notifier doesn't know it (any more).
    /// - Parameter next: of the page before; nil for the first one
    package func notification(_ id: UUID, page next: String?) async throws -> NotificationPage? {
        // The size has to be said on every page.
        var query = "?page_size=\(configuration.pageSize)"
        if let next { query += "&next=" + (Self.escaped(next) ?? "") }
        let answer = try await send(.get, "/notifier/api/v1/notification/\(id.uuidString.lowercased())\(query)")
        switch answer.status {
        case 200: return try answer.decode(NotificationPage.self)
        case 404: return nil
        default: throw answer.failure
        }
    }

    /// Tells the notifier that all of it was read.
    package func finish(notification id: UUID) async throws {
        let answer = try await send(.delete, "/notifier/api/v1/notification/\(id.uuidString.lowercased())")
        guard [200, 204, 404].contains(answer.status) else { throw answer.failure }
    }

    private static func escaped(_ text: String) -> String? {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-._~")))
    }

    // MARK: - Exchange

    private struct Answer {
        let status: Int
        let headers: HTTPFields
        let body: [UInt8]

        /// Without its quotes.
        var entityTag: String? {
            headers[.eTag].map { $0.trimmingCharacters(in: CharacterSet(charactersIn: "\"")) }
        }

        /// What it says of its failure. The body may be empty (401) or no JSON (a proxy's).
        var reason: String {
            struct Body: Decodable { let message: String }
            let message = try? JSONDecoder().decode(Body.self, from: Data(body)).message  // see above
            return "the scanner answered \(status)" + (message.map { ": \($0.prefix(500))" } ?? "")
        }

        var failure: ScanFailure {
            switch status {
            case 401, 403: .unreachable("the scanner lets us not in (\(status)): do both have the same key?")
            case 408, 425, 429: .later(reason)
            // A proxy before it, or the scanner itself while it starts or ends.
            case 499, 502, 503, 504: .unreachable(reason)
            default: .failed(reason)
            }
        }

        func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
            do { return try JSONDecoder().decode(type, from: Data(body)) } catch {
                throw ScanFailure.failed("the scanner's answer (\(status)) can't be read")
            }
        }
    }

    private func send(
        _ method: HTTPRequest.Method,
        _ path: String,
        body: [UInt8]? = nil,
        deadline: Duration? = nil
    ) async throws -> Answer {
        var headers: HTTPFields = [.accept: "application/json"]
        if body != nil { headers[.contentType] = "application/json" }
        if let key { headers[.authorization] = try await key.authorization() }
        let limit = deadline ?? configuration.deadline
        let request = HTTPTransportRequest(
            method: method,
            url: configuration.endpoint + path,
            headers: headers,
            body: body.map { .bytes($0) },
            deadlines: HTTPTransportDeadlines(connect: .seconds(5), firstByte: limit, idle: limit, total: limit)
        )
        do {
            let response = try await transport.send(request)
            let isGood = (200...299).contains(response.head.status)
            let bytes = try await response.collect(upTo: isGood ? Self.maximumBytes : Self.maximumErrorBytes)
            return Answer(status: response.head.status, headers: response.head.headers, body: bytes)
        } catch let error as HTTPTransportError where error.code == .bodyTooLarge {
            throw ScanFailure.failed("the scanner's answer is too large: \(error)")
        } catch let error as HTTPTransportError where Self.isSlow(error) {
            // It is there: that it takes so long may well be the image's doing.
            throw ScanFailure.failed("the scanner hadn't answered within \(limit)")
        } catch let error as HTTPTransportError {
            // What broke off after a good status did so for the scanner's own reasons, which it tells in a trailer at best.
            throw ScanFailure.unreachable("the scanner can't be reached: \(error)")
        }
    }

    private static func isSlow(_ error: HTTPTransportError) -> Bool {
        [.firstByteTimeout, .idleTimeout, .totalTimeout].contains(error.code)
    }
}
