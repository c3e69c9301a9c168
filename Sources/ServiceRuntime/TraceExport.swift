// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import Logging
import Traces
import Tracing

/// Where a program's spans go, as its settings say.
struct TraceExport: Sendable {
    private let endpoint: String
    private let queue = SpanQueue()
    private let share: Double

    /// Nil when nothing is traced. Throws ``SettingsError``.
    init?(_ settings: SettingsReader) throws {
        let text = try settings.string(SharedSettings.tracesShare)
        guard let share = Double(text), (0...1).contains(share) else {
            throw settings.invalid(SharedSettings.tracesShare, text, "expected a number from 0 to 1")
        }
        if try settings.string(SharedSettings.tracesEndpoint).isEmpty { return nil }
        endpoint = try settings.baseURL(SharedSettings.tracesEndpoint)
        self.share = share
    }

    /// What a program bootstraps the instrumentation system with.
    var tracer: SpanTracer { SpanTracer(queue, share: share) }

    /// What sends them.
    func exporter(of service: String, worker: String, logger: Logger) -> SpanExporter {
        // The collector is the operator's own word: it may be anywhere.
        let transport = HTTPTransport(HTTPTransportConfiguration(addressPolicy: .unrestricted), logger: logger)
        return SpanExporter(
            queue,
            to: endpoint,
            service: service,
            instance: worker,
            transport: transport,
            logger: logger
        )
    }
}
