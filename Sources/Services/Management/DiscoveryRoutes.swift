// SPDX-License-Identifier: Apache-2.0

import Hummingbird

/// The API's description of itself.
enum DiscoveryRoutes {
    static func operation(_ others: [Operation], server: String?) -> Operation {
        func make(_ handler: @escaping Operation.Handler) -> Operation {
            Operation(
                .get,
                "discovery",
                "getDiscovery",
                "This document (OpenAPI 3.1).",
                .anybody,
                .ok(.map(.anything)),
                handler
            )
        }
        // It describes itself too; its handler is not part of that.
        let described = others + [make { _ in Response(status: .ok) }]
        let document = OpenAPIDocument(operations: described, server: server).json
        return make { _ in try APIReply.json(document) }
    }
}
