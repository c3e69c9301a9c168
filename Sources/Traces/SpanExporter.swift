// SPDX-License-Identifier: Apache-2.0

import Foundation
package import HTTPTransport
import HTTPTypes
package import Logging
import Metrics
import ServiceLifecycle

/// Sends spans to a collector by OTLP over HTTP (OTLP specification 1.x, "OTLP/HTTP").
package struct SpanExporter: Service {
    /// What became of a batch.
    private enum Fate {
        case taken
        /// The collector will never take it.
        case refused(String)
        case later(String, after: Duration?)
    }

    private static let interval: Duration = .seconds(2)
    /// However long a collector asks us to wait.
    private static let longestPause: Duration = .seconds(60)

    /// How long a collector may take for one batch.
    package var patience: Duration = .seconds(5)

    private let queue: SpanQueue
    private let url: String
    private let service: String
    private let instance: String
    private let transport: HTTPTransport
    private let logger: Logger
    private let exported = Counter(label: "entrepot_spans_exported_total")
    private let dropped = Counter(label: "entrepot_spans_dropped_total", dimensions: [("reason", "refused")])

    /// - Parameters:
    ///   - endpoint: the collector's base URL without a slash at its end, such as `http://127.0.0.1:4318`
    ///   - service: name of the program
    ///   - instance: name of this process of it
    package init(
        _ queue: SpanQueue,
        to endpoint: String,
        service: String,
        instance: String,
        transport: HTTPTransport,
        logger: Logger
    ) {
        self.queue = queue
        url = endpoint + "/v1/traces"
        self.service = service
        self.instance = instance
        self.transport = transport
        self.logger = logger
    }

    /// Sends until cancelled, or until a graceful shutdown, and then once more what is left.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var batch: [RecordedSpan] = []
            var pause: Duration?
            var isFailing = false
            while !Task.isCancelled {
                if let pause {
                    do { try await Task.sleep(for: pause) } catch { break }
                } else {
                    await queue.wait(atMost: Self.interval)
                }
                pause = await send(&batch, isFailing: &isFailing)
            }
            _ = await send(&batch, isFailing: &isFailing)
        }
    }

    /// Sends all that there is. What has to wait stays in `batch`.
    /// - Returns: how long it has to
    private func send(_ batch: inout [RecordedSpan], isFailing: inout Bool) async -> Duration? {
        while true {
            if batch.isEmpty { batch = queue.take() }
            guard !batch.isEmpty else { return nil }
            // Shielded from the cancellation, or a collector might get a batch twice; it has a deadline.
            let fate = await Task { [batch] in await post(batch) }.value
            switch fate {
            case .taken:
                exported.increment(by: batch.count)
                isFailing = false
            case .refused(let reason):
                dropped.increment(by: batch.count)
                logger.warning("spans refused", metadata: ["count": "\(batch.count)", "reason": "\(reason)"])
            case .later(let reason, let pause):
                // Said once, not every few seconds for as long as the collector is away.
                logger.log(
                    level: isFailing ? .debug : .warning,
                    "spans not taken yet",
                    metadata: ["reason": "\(reason)"]
                )
                isFailing = true
                return min(pause ?? Self.interval, Self.longestPause)
            }
            batch = []
        }
    }

    private func post(_ batch: [RecordedSpan]) async -> Fate {
        let document = SpanDocument(batch, service: service, instance: instance)
        do {
            let response = try await transport.send(
                HTTPTransportRequest(
                    method: .post,
                    url: url,
                    headers: [.contentType: "application/json"],
                    body: .bytes(Array(try JSONEncoder().encode(document))),
                    deadlines: HTTPTransportDeadlines(firstByte: patience, idle: patience, total: patience)
                )
            )
            switch response.head.status {
            case 200..<300:
                // Read, so that the connection can be used again.
                _ = try await response.collect(upTo: 65_536)
                return .taken
            case 429, 502, 503, 504:
                let seconds = response.head.headers[.retryAfter].flatMap { Int64($0) }
                return .later("\(url) answered \(response.head.status)", after: seconds.map { .seconds(max(1, $0)) })
            case let status:
                return .refused("\(url) answered \(status)")
            }
        } catch let error as HTTPTransportError {
            return .later("\(error)", after: nil)
        } catch {
            return .refused("\(error)")
        }
    }
}
