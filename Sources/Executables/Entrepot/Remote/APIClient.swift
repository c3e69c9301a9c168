// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTransport
import HTTPTypes
import OCI
import Supervision

/// Asks the management API.
struct APIClient: Sendable {
    private static let maximumBytes = 64 * 1_048_576
    /// Longer than the server takes for anything: what it asks fetchers to find out has 30 s there.
    private static let patience: Duration = .seconds(90)
    /// Deleting is work that grows with what is deleted.
    private static let deletionPatience: Duration = .seconds(3_600)

    let url: String
    private let authorization: String
    private let transport: HTTPTransport

    init(url: String, authorization: String, transport: HTTPTransport) {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.authorization = authorization
        self.transport = transport
    }

    /// A path of parts, each escaped.
    static func path(_ parts: String...) -> String { parts.map(PercentEncoding.encode).joined(separator: "/") }

    func get<Answer: Decodable>(
        _ path: String,
        _ query: [String: String?] = [:],
        as type: Answer.Type = Answer.self
    ) async throws -> Answer {
        try Self.decode(try await send(.get, path, query))
    }

    /// All entries of a list, page by page.
    func all<List: PagedList>(_ path: String, _ query: [String: String?] = [:], as type: List.Type) async throws
        -> [List.Entry]
    {
        var entries: [List.Entry] = []
        var query = query
        query["limit"] = "100"
        while true {
            let page = try await get(path, query, as: type)
            entries += page.entries
            guard let next = page.nextPage else { return entries }
            query["next_page"] = next
        }
    }

    /// Sends a change; what is answered is dropped.
    func change(_ method: HTTPRequest.Method, _ path: String, _ body: some Encodable) async throws {
        _ = try await send(method, path, body: try Self.encode(body))
    }

    func change<Answer: Decodable>(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ body: some Encodable,
        as type: Answer.Type
    ) async throws -> Answer {
        try Self.decode(try await send(method, path, body: try Self.encode(body)))
    }

    func delete(_ path: String) async throws { _ = try await send(.delete, path) }

    /// The answer's bytes as they come.
    func stream(_ path: String, _ query: [String: String?], _ body: ([UInt8]) -> Void) async throws {
        let response = try await begin(.get, path, query, body: nil)
        do {
            for try await chunk in response.body { body(chunk) }
        } catch let error as HTTPTransportError {
            throw SupervisionError("\(url) broke off: \(error.message)")
        }
    }

    private func send(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ query: [String: String?] = [:],
        body: [UInt8]? = nil
    ) async throws -> [UInt8] {
        let response = try await begin(method, path, query, body: body)
        do { return try await response.collect(upTo: Self.maximumBytes) } catch let error as HTTPTransportError {
            throw SupervisionError("\(url) broke off: \(error.message)")
        }
    }

    private func begin(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ query: [String: String?],
        body: [UInt8]?
    ) async throws -> HTTPTransportResponse {
        let items = query.compactMap { name, value in
            value.map { "\(PercentEncoding.encode(name))=\(PercentEncoding.encode($0))" }
        }
        let target = "\(url)/api/v1/\(path)" + (items.isEmpty ? "" : "?" + items.sorted().joined(separator: "&"))
        var request = HTTPTransportRequest(method: method, url: target)
        request.headers[.authorization] = authorization
        let patience = method == .delete ? Self.deletionPatience : Self.patience
        request.deadlines.firstByte = patience
        request.deadlines.idle = patience
        if let body {
            request.headers[.contentType] = "application/json"
            request.body = .bytes(body)
        }
        let response: HTTPTransportResponse
        do { response = try await transport.send(request) } catch let error as HTTPTransportError {
            throw APIFailure.unreachable(url, error.message)
        }
        let status = response.head.status
        guard !(200..<300).contains(status) else { return response }
        // An error page of something else has no problem in it; its status says enough then.
        let bytes = try? await response.collect(upTo: Self.maximumBytes)
        let problem = try? JSONDecoder().decode(Problem.self, from: Data(bytes ?? []))
        throw APIFailure(status: status, message: problem?.detail ?? "\(url) answered \(status)")
    }

    private struct Problem: Decodable {
        let detail: String
    }

    private static func decode<Answer: Decodable>(_ bytes: [UInt8]) throws -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do { return try decoder.decode(Answer.self, from: Data(bytes)) } catch {
            throw SupervisionError("the answer is none of an Entrepot's API: \(error)")
        }
    }

    private static func encode(_ body: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return Array(try encoder.encode(body))
    }
}

/// One page of a list.
protocol PagedList: Decodable {
    associatedtype Entry: Decodable
    var entries: [Entry] { get }
    var nextPage: String? { get }
}

/// What the API refuses. Its code is the command's exit status.
struct APIFailure: Error, CustomStringConvertible {
    let message: String
    let exitCode: ExitCode

    init(status: Int, message: String) {
        self.message = message
        switch status {
        case 400, 413: exitCode = ExitCode(2)
        case 404: exitCode = ExitCode(3)
        case 401, 403: exitCode = ExitCode(4)
        default: exitCode = ExitCode(1)
        }
    }

    private init(_ message: String, _ code: Int32) {
        self.message = message
        exitCode = ExitCode(code)
    }

    static func unreachable(_ url: String, _ reason: String) -> APIFailure {
        APIFailure("\(url) can't be reached: \(reason)", 5)
    }

    var description: String { message }
}
