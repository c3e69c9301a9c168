// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import Synchronization
import TestSupport

/// Serves one layer, right or wrong.
final class LayerServer: Sendable {
    enum Manner: Sendable, Hashable {
        case right, partial, otherType, otherBytes
    }

    private struct State {
        var manner = Manner.right
        var headers: HTTPFields = [:]
    }

    /// Two empty blocks: a tar of nothing.
    private static let bytes = [UInt8](repeating: 0, count: 1_024)
    static let digest = OCI.Digest.of(bytes)

    private let state = Mutex(State())
    let url: String

    private init(_ url: String) { self.url = url }

    var manner: Manner {
        get { state.withLock(\.manner) }
        set { state.withLock { $0.manner = newValue } }
    }

    /// Of the last request.
    var headers: HTTPFields { state.withLock(\.headers) }

    static func with(_ body: (LayerServer) async throws -> Void) async throws {
        let current = Mutex<LayerServer?>(nil)
        try await StaticServer.with { path, headers, _ in
            let manner = current.withLock { server -> Manner in
                server?.state.withLock { $0.headers = headers }
                return server?.manner ?? .right
            }
            guard path == "/layer" else { return (404, "text/plain", []) }
            switch manner {
            case .right: return (200, "application/octet-stream", bytes)
            case .partial: return (206, "application/octet-stream", bytes)
            case .otherType: return (200, "application/json", bytes)
            case .otherBytes: return (200, "application/octet-stream", bytes + [1])
            }
        } _: { url in
            let server = LayerServer(url + "/layer")
            current.withLock { $0 = server }
            try await body(server)
        }
    }
}
