// SPDX-License-Identifier: Apache-2.0

package import HummingbirdCore
import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle

/// An HTTP server in this process.
package enum TestServer {
    /// Runs a server while `body` runs.
    /// - Parameters:
    ///   - port: 0 for any free one
    ///   - respond: answers one request
    ///   - body: gets the port
    package static func with<Result: Sendable>(
        port: Int = 0,
        _ respond:
            @escaping @Sendable @concurrent (Request, consuming ResponseWriter, any Channel) async throws -> Void,
        _ body: (Int) async throws -> Result
    ) async throws -> Result {
        let (ports, announce) = AsyncStream.makeStream(of: Int.self)
        let channel = HTTP1Channel(responder: respond)
        var logger = Logger(label: "test-server")
        logger.logLevel = .critical
        let server = channel.server(
            configuration: ServerConfiguration(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { announce.yield($0.localAddress?.port ?? 0) },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: logger
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { announce.finish() }
                try await server.run()
            }
            var announced: Int?
            for await port in ports {
                announced = port
                break
            }
            guard let port = announced else {
                try await group.waitForAll()  // the server's own error
                throw TestSupportError("the server ended before it listened")
            }
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await body(port)) } catch { result = .failure(error) }
            await end(server)
            group.cancelAll()
            return try result.get()
        }
    }

    /// Closes the listening socket before anything is cancelled: NIO takes a connection that was accepted and never served
    /// for a mistake, and traps (swift-nio issue 3481). Who still waits for an answer is given up a moment later.
    private static func end(_ server: any Service) async {
        guard let server = server as? Server<HTTP1Channel> else { preconditionFailure("another kind of server") }
        let (connections, allClosed) = AsyncStream.makeStream(of: Void.self)
        Task {
            try? await server.shutdownGracefully()  // fails where sockets are gone, which is what is wanted
            allClosed.finish()
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in connections {} }
            group.addTask { try? await Task.sleep(for: .seconds(1)) }  // cancelled when nobody waits
            await group.next()
            group.cancelAll()
        }
    }
}
