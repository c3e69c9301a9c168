// SPDX-License-Identifier: Apache-2.0

import Foundation
import Hummingbird
import NIOCore

/// Values that a client sent under names, each as its ``Schema`` asks. What is null counts as left out.
struct Fields: Sendable {
    private static let maximumBytes = 1_048_576

    private let values: [String: JSON]

    static let none = Fields(values: [:])

    private init(values: [String: JSON]) { self.values = values }

    /// The body of a request, which may be left out where it needs no member. Throws ``APIError`` for what isn't as the
    /// members ask, or larger than a megabyte.
    init(body request: Request, _ members: [Schema.Member]) async throws {
        let data = try await Self.data(of: request)
        guard !data.isEmpty || members.contains(where: \.isRequired) else {
            values = [:]
            return
        }
        let value: JSON
        do { value = try JSONDecoder().decode(JSON.self, from: data) } catch {
            throw APIError.invalid("the body has to be a JSON object")
        }
        try Schema.object(members).check(value, "")
        guard case .object(let object) = value else { throw APIError.invalid("the body has to be a JSON object") }
        values = object
    }

    /// Throws ``APIError`` for a body with fields, where none has a meaning. What is no JSON object has no fields.
    static func refuse(bodyOf request: Request) async throws {
        let data = try await Self.data(of: request)
        guard let value = try? JSONDecoder().decode(JSON.self, from: data), case .object = value else { return }
        try Schema.object([]).check(value, "")
    }

    private static func data(of request: Request) async throws -> Data {
        let bytes: ByteBuffer
        do { bytes = try await request.body.collect(upTo: maximumBytes) } catch is NIOTooManyBytesError {
            throw APIError(status: .contentTooLarge, type: "invalid_request", message: "the body is larger than 1 MiB")
        }
        return Data(bytes.readableBytesView)
    }

    /// The query of a request, as far as it is known: others are the business of proxies and browsers. Of a name that is
    /// there twice the last one counts. Throws ``APIError``.
    init(query request: Request, _ parameters: [Schema.Member]) throws {
        var values: [String: JSON] = [:]
        for parameter in parameters {
            guard let text = request.uri.queryParameters.getAll(parameter.name).last.map({ String($0) }) else {
                if parameter.isRequired { throw APIError.invalid("\(parameter.name): is needed") }
                continue
            }
            let value = Self.value(text, parameter.schema)
            try parameter.schema.check(value, parameter.name)
            values[parameter.name] = value
        }
        self.values = values
    }

    private static func value(_ text: String, _ schema: Schema) -> JSON {
        switch schema {
        case .integer: Int64(text).map(JSON.integer) ?? .text(text)
        case .flag:
            switch text.lowercased() {
            case "true", "1": .flag(true)
            case "false", "0": .flag(false)
            default: .text(text)
            }
        default: .text(text)
        }
    }

    /// Whether the field is there, be it null.
    func has(_ name: String) -> Bool { values[name] != nil }

    func text(_ name: String) -> String? {
        if case .text(let text) = values[name] { text } else { nil }
    }

    func flag(_ name: String) -> Bool? {
        if case .flag(let flag) = values[name] { flag } else { nil }
    }

    func integer(_ name: String) -> Int64? {
        switch values[name] {
        case .integer(let integer): integer
        case .number(let number): Int64(exactly: number)
        default: nil
        }
    }

    func texts(_ name: String) -> [String]? {
        guard case .list(let list) = values[name] else { return nil }
        return list.compactMap { if case .text(let text) = $0 { text } else { nil } }
    }
}
