// SPDX-License-Identifier: Apache-2.0

import Jobs
import Models

extension ThresholdNotice {
    private struct Body: Encodable {
        let id: String
        let event: String
        let organization: String
        let percent: Int
        let limit_bytes: Int64
        let live_bytes: Int64
    }

    /// What the webhook is sent.
    var text: String {
        JSONText.encode(
            Body(
                id: id,
                event: crossing.kind == .warning ? "quota_warning" : "quota_error",
                organization: crossing.organizationName.rawValue,
                percent: crossing.percent,
                limit_bytes: crossing.limitBytes,
                live_bytes: crossing.liveBytes
            )
        )
    }
}
