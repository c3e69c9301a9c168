// SPDX-License-Identifier: Apache-2.0

package import HTTPTransport
import HTTPTypes
package import Jobs
package import Logging
package import Models

/// Posts one kind of notice to a webhook, again and again until it is taken (any 2xx) or the attempts are used up. A
/// receiver may get one twice, with the same id.
package struct NoticeHandler: JobHandler {
    package struct Notice: Sendable {
        /// The same at each attempt.
        package let id: String
        /// JSON.
        package let text: String

        package init(id: String, text: String) {
            self.id = id
            self.text = text
        }
    }

    /// What jobs of notices are made with: the last attempt comes after more than half an hour.
    package static let maximumAttempts = 12
    private static let retry = RetryPolicy(base: .seconds(1), cap: .seconds(3_600))

    package let kind: JobKind
    private let webhook: Webhook?
    private let transport: HTTPTransport
    private let logger: Logger
    private let notice: @Sendable (ClaimedJob) throws -> Notice

    /// - Parameters:
    ///   - webhook: nil when nobody is to be told (any more)
    ///   - notice: what a job has to tell
    package init(
        _ kind: JobKind,
        to webhook: Webhook?,
        transport: HTTPTransport,
        logger: Logger,
        notice: @escaping @Sendable (ClaimedJob) throws -> Notice
    ) {
        self.kind = kind
        self.webhook = webhook
        self.transport = transport
        self.logger = logger
        self.notice = notice
    }

    package func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let notice = try notice(job)
        guard let webhook else { return .discard(reason: "no webhook is set (any more)", result: "{}") }
        let reason: String
        do {
            let status = try await post(notice, to: webhook)
            if (200..<300).contains(status) { return .complete(result: "{}") }
            reason = "the webhook answered \(status)"
        } catch let error as HTTPTransportError {
            reason = "the webhook can't be reached: \(error)"
        }
        logger.warning(
            "notice not taken",
            metadata: ["job.id": "\(job.lease.job)", "job.kind": "\(kind.rawValue)", "reason": "\(reason)"]
        )
        return .retry(after: Self.retry.delay(afterFailures: job.attempt), reason: reason, result: "{}")
    }

    private func post(_ notice: Notice, to webhook: Webhook) async throws -> Int {
        let body = Array(notice.text.utf8)
        var headers: HTTPFields = [.contentType: "application/json"]
        if let name = HTTPField.Name("X-Entrepot-Signature") { headers[name] = webhook.signature(of: body) }
        if let name = HTTPField.Name("X-Entrepot-Delivery") { headers[name] = notice.id }
        let response = try await transport.send(
            HTTPTransportRequest(
                method: .post,
                url: webhook.url,
                headers: headers,
                body: .bytes(body),
                deadlines: HTTPTransportDeadlines(firstByte: .seconds(10), idle: .seconds(10), total: .seconds(15))
            )
        )
        return response.head.status
    }
}
