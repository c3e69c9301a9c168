// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Models

/// The API's description of itself (OpenAPI 3.1.0), made of its operations.
struct OpenAPIDocument {
    let operations: [Operation]
    /// Where the API is, as clients see it; nil for wherever the document came from.
    let server: String?

    var json: JSON {
        var paths: [String: [String: JSON]] = [:]
        for operation in operations {
            paths["/api/v1/" + operation.path, default: [:]][operation.method.rawValue.lowercased()] =
                Self.describe(operation)
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Entrepot", "version": "1",
                "description": "Management of a pull-through cache for container registries.",
                "license": ["name": "Apache 2.0", "identifier": "Apache-2.0"],
            ],
            "servers": [["url": .text(server ?? "/")]],
            "paths": .object(paths.mapValues(JSON.object)),
            "components": [
                "schemas": ["Problem": Self.problem],
                "securitySchemes": [
                    "password": ["type": "http", "scheme": "basic"],
                    "token": ["type": "http", "scheme": "bearer"],
                ],
            ],
        ]
    }

    private static func describe(_ operation: Operation) -> JSON {
        var json: [String: JSON] = [
            "operationId": .text(operation.id),
            "summary": .text(operation.about),
            "tags": [.text(String(operation.path.prefix { $0 != "/" }))],
            "responses": .object(responses(of: operation)),
        ]
        let parameters = operation.pathParameters.map { pathParameter($0) } + operation.query.map { queryParameter($0) }
        if !parameters.isEmpty { json["parameters"] = .list(parameters) }
        if let body = operation.body {
            json["requestBody"] = [
                "required": .flag(body.contains(where: \.isRequired)),
                "content": ["application/json": ["schema": Schema.object(body).json]],
            ]
        }
        switch operation.access {
        case .anybody: json["security"] = []
        case .pull, .namespace: json["security"] = [[:], ["password": []], ["token": []]]
        default: json["security"] = [["password": []], ["token": []]]
        }
        return .object(json)
    }

    private static func pathParameter(_ name: String) -> JSON {
        [
            "name": .text(name), "in": "path", "required": true, "description": .text(pathNames[name] ?? ""),
            "schema": ["type": "string", "minLength": 1],
        ]
    }

    private static let pathNames = [
        "orgname": "Name of an organization.",
        "repository": "ORGANIZATION/NAME; slashes may be written as they are.",
        "tag": "Name of a tag.", "digest": "Digest of a manifest.", "membername": "Name of an account.",
        "robot_shortname": "Name of a robot, without its organization.", "username": "Name of a person.",
    ]

    private static func queryParameter(_ member: Schema.Member) -> JSON {
        [
            "name": .text(member.name), "in": "query", "required": .flag(member.isRequired),
            "description": .text(member.about), "schema": member.schema.json,
        ]
    }

    private static func responses(of operation: Operation) -> [String: JSON] {
        var responses: [String: JSON] = [:]
        var success: [String: JSON] = ["description": .text(operation.success.status.reasonPhrase)]
        if let schema = operation.success.schema {
            success["content"] = .object(
                Dictionary(
                    operation.success.mediaTypes.map { ($0, ["schema": schema.json] as JSON) },
                    uniquingKeysWith: { first, _ in first }
                )
            )
        }
        responses[String(operation.success.status.code)] = .object(success)
        for (status, text) in failures(of: operation) {
            responses[status] = [
                "description": .text(text),
                "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
            ]
        }
        return responses
    }

    private static func failures(of operation: Operation) -> [(String, String)] {
        var failures = [
            ("400", "Something is wrong with the request; the message names it."),
            ("413", "The body is larger than 1 MiB."),
            ("429", "Too many logins have failed, or are being checked."),
            ("503", "The request can't be answered at the moment."),
        ]
        // What follows a name that is none belongs to the name.
        if operation.path.hasPrefix("repository/") { failures.append(("405", "That isn't done there.")) }
        if case .anybody = operation.access { return failures }
        failures += [
            ("401", "Nobody is logged in."),
            ("403", "The caller may not do this, or the organization isn't there."),
            ("404", "Not there."),
        ]
        return failures
    }

    private static let problem = Schema.object([
        Schema.has("detail", .anyText), Schema.has("error_message", .anyText), Schema.has("error_type", .anyText),
        Schema.has("title", .anyText), Schema.has("type", .anyText), Schema.has("status", .integer(400...599)),
    ]).json
}
