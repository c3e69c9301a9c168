// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Jobs
import Logging
import Models

/// Posts what was found to the address that an operator named. At least once: who receives may see one twice.
struct NoticeHandler: JobHandler {
    static let maximumAttempts = 8
    private static let retry = RetryPolicy(base: .seconds(10), cap: .seconds(600))
    private static let deadline: Duration = .seconds(30)

    let kind = JobKind.vulnerabilityNotice
    let transport: HTTPTransport
    /// Nil for nobody.
    let address: String?
    let logger: Logger

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        guard let address else { return .complete(result: JSONText.encode("nobody wants to know")) }
        let request = HTTPTransportRequest(
            method: .post,
            url: address,
            headers: [.contentType: "application/json"],
            body: .bytes(Array(job.payload.utf8)),
            deadlines: HTTPTransportDeadlines(connect: .seconds(5), total: Self.deadline)
        )
        let reason: String
        do {
            let response = try await transport.send(request)
            if (200...299).contains(response.head.status) { return .complete(result: JSONText.encode("posted")) }
            reason = "the webhook answered \(response.head.status)"
        } catch let error as HTTPTransportError {
            reason = "the webhook can't be reached: \(error)"
        }
        return .retry(
            after: Self.retry.delay(afterFailures: job.attempt),
            reason: reason,
            result: JSONText.encode("failed")
        )
    }
}
