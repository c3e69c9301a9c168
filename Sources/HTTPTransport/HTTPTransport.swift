// SPDX-License-Identifier: Apache-2.0

package import Logging
import Synchronization

/// Sends HTTP requests through libcurl, which runs on one thread of its own per transport.
///
/// Redirects are not followed: who sends a request decides where it may go. Nothing is decompressed.
package final class HTTPTransport: Sendable {
    private let driver: CurlDriver

    package init(_ configuration: HTTPTransportConfiguration = .init(), logger: Logger) {
        driver = CurlDriver(configuration, logger: logger)
        driver.start()
    }

    deinit { driver.shutdown() }

    /// Ends all transfers; later ones fail with `shutdown`. Safe to repeat.
    package func shutdown() { driver.shutdown() }

    /// Sends a request and returns as soon as the response's head is there.
    /// Throws ``HTTPTransportError`` or `CancellationError`.
    package func send(_ request: HTTPTransportRequest) async throws -> HTTPTransportResponse {
        let body = BodyBuffer(driver: driver)
        let head = try await run(request, .buffer(body)) { $0.head }
        return HTTPTransportResponse(head: head, body: HTTPTransportBodySequence(body))
    }

    /// Sends a request and hands the response to the sink; returns after the last byte.
    /// Throws ``HTTPTransportError``, `CancellationError`, or what the sink throws.
    @discardableResult
    package func receive(
        _ request: HTTPTransportRequest,
        into sink: any ResponseSink
    ) async throws -> HTTPTransportHead {
        try await run(request, .sink(sink)) { $0.end }
    }

    private func run(
        _ request: HTTPTransportRequest,
        _ receiver: Transfer.Receiver,
        awaiting milestone: (Transfer) -> Milestone<HTTPTransportHead>
    ) async throws -> HTTPTransportHead {
        let transfer = Transfer(request, receiver)
        if case .buffer(let body) = receiver { body.attach(transfer.id) }
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            let upload = driver.submit(transfer)
            // A cancellation that came before the transfer found nothing to end.
            if Task.isCancelled { driver.cancel(transfer.id) }
            guard let upload else { return try await milestone(transfer).value() }
            async let _: Void = upload.run()
            // A server that answers before it has read everything doesn't want the rest.
            defer { upload.stop() }
            return try await milestone(transfer).value()
        } onCancel: {
            driver.cancel(transfer.id)
        }
    }
}
