// SPDX-License-Identifier: Apache-2.0

import Jobs
import Logging
import Models
import Upstream

/// Tries a configuration out. Only fetchers can open credentials, and only they have a way out.
struct UpstreamCheckHandler: JobHandler {
    let kind = JobKind.upstreamCheck
    let upstream: UpstreamClient
    let vault: CredentialVault
    let notifier: JobNotifier
    let logger: Logger

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let check = try JSONText.decode(UpstreamCheck.self, job.payload)
        do {
            let credentials: UpstreamCredentials? =
                switch check.login {
                case .none: nil
                case .stored: try await vault.credentials(for: check.organization, at: check.address)
                case .sealed(let sealed): try vault.open(sealed, for: check.organization)
                }
            let checked = try await upstream.check(
                check.address,
                organization: check.organization,
                realmHosts: check.realmHosts,
                credentials: credentials
            )
            logger.info("upstream checked", metadata: ["upstream": "\(check.upstream)", "result": "\(checked)"])
            return .complete(result: JSONText.encode(FetchVerdict(success: checked)))
        } catch let failure as FetchFailure {
            logger.info("upstream checked", metadata: ["upstream": "\(check.upstream)", "reason": "\(failure)"])
            // Whoever asks sees what it says; he tries again when he has changed something.
            let result = JSONText.encode(FetchVerdict<UpstreamChecked>(failure: failure))
            return .discard(reason: failure.message, result: result)
        }
    }
}
