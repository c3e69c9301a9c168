// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import HTTPTransport
import HTTPTypes
import Jobs
import Logging
import Models

/// Who is told of thresholds.
package struct Webhook: Sendable {
    package let url: String
    /// Signs what is sent, so that the receiver knows who sent it.
    package let secret: String

    package init(url: String, secret: String) {
        self.url = url
        self.secret = secret
    }

    /// `sha256=` and the hex HMAC-SHA256 (RFC 2104) of the body.
    package func signature(of body: [UInt8]) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: body, using: SymmetricKey(data: Array(secret.utf8)))
        return "sha256="
            + code.map { byte in
                let hex = String(byte, radix: 16)
                return hex.count == 1 ? "0" + hex : hex
            }.joined()
    }
}

/// Posts a notice to the webhook, again and again until it is taken. A receiver may get it twice, with the same id.
struct NoticeHandler: JobHandler {
    private struct Body: Encodable {
        let id: String
        let event: String
        let organization: String
        let percent: Int
        let limit_bytes: Int64
        let live_bytes: Int64
    }

    private static let retry = RetryPolicy(base: .seconds(1), cap: .seconds(3_600))

    let kind = JobKind.thresholdNotice
    let webhook: Webhook?
    let transport: HTTPTransport
    let logger: Logger

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let notice = try JSONText.decode(ThresholdNotice.self, job.payload)
        guard let webhook else { return .discard(reason: "no webhook is set (any more)", result: "{}") }
        do {
            try await post(notice, to: webhook)
            return .complete(result: "{}")
        } catch let error as HTTPTransportError {
            return again(job, "\(error)")
        } catch let error as Refusal {
            return again(job, "the webhook answered \(error.status)")
        }
    }

    private struct Refusal: Error { let status: Int }

    private func post(_ notice: ThresholdNotice, to webhook: Webhook) async throws {
        let crossing = notice.crossing
        let text = JSONText.encode(
            Body(
                id: notice.id,
                event: crossing.kind == .warning ? "quota_warning" : "quota_error",
                organization: crossing.organizationName.rawValue,
                percent: crossing.percent,
                limit_bytes: crossing.limitBytes,
                live_bytes: crossing.liveBytes
            )
        )
        let body = Array(text.utf8)
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
        guard (200..<300).contains(response.head.status) else { throw Refusal(status: response.head.status) }
    }

    private func again(_ job: ClaimedJob, _ reason: String) -> JobOutcome {
        logger.warning("threshold not told yet", metadata: ["job.id": "\(job.lease.job)", "reason": "\(reason)"])
        return .retry(after: Self.retry.delay(afterFailures: job.attempt), reason: reason, result: "{}")
    }
}
