// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata
import Models
import Notices
import OCI
import Postgres
import TestSupport
import Testing

/// Thresholds of quotas, from usage to the webhook.
@Suite struct ThresholdTests {
    private struct Notice: Decodable {
        let id: String
        let event: String
        let organization: String
        let percent: Int
        let limit_bytes: Int64
        let live_bytes: Int64
    }

    @Test("a crossing is told once, signed, until it is taken, and again after usage was below; Reject refuses")
    func crossings() async throws {
        try await RawServer.with({ connection in
            try connection.request()
            // The first delivery isn't taken.
            let status = connection.number == 1 ? "500 No" : "204 Taken"
            try connection.send("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }) { webhook in
            try await ScriptedUpstream.with { upstream in
                let images = (1...2).map { ImageFixture.single(seed: 900 + UInt64($0), size: 90_000) }
                for (number, image) in images.enumerated() { upstream.add(image, to: "a/b", tag: "v\(number + 1)") }
                try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                    let pruner = [
                        "ENTREPOT_QUOTA_WEBHOOK_URL": webhook.url + "/hook", "ENTREPOT_QUOTA_WEBHOOK_SECRET": "s3cret",
                    ]
                    for _ in 0..<2 { try await deployment.addPruner(pruner) }
                    try await deployment.limit("up", to: 100_000)
                    try await deployment.client.query(
                        "INSERT INTO quota_threshold (quota_id, type, percent) SELECT id, 'Warning', 80 FROM quota"
                    )
                    for round in 1...2 {
                        #expect(try await deployment.registry.get("/v2/up/a/b/manifests/v1").status == 200)
                        // The first one is delivered twice.
                        try await eventually("crossing \(round) is told") { webhook.requests.count == round + 1 }
                        try await deployment.client.query(
                            """
                            UPDATE tag SET lifetime_end_at = greatest(now(), lifetime_start_at), end_reason = 'deleted'
                            WHERE lifetime_end_at IS NULL
                            """
                        )
                        try await eventually("the threshold is armed again") {
                            try await deployment.client.query("SELECT 1 FROM quota_threshold WHERE crossed_at IS NULL")
                                .count == 1
                        }
                    }
                    let notices = try webhook.requests.map { request in
                        let signature = Webhook(url: "", secret: "s3cret").signature(of: request.body)
                        #expect(request.values("X-Entrepot-Signature") == [signature])
                        return try JSONDecoder().decode(Notice.self, from: Data(request.body))
                    }
                    #expect(notices[0].id == notices[1].id && notices[1].id != notices[2].id)
                    for notice in notices {
                        #expect(notice.event == "quota_warning" && notice.organization == "up" && notice.percent == 80)
                        #expect(notice.limit_bytes == 100_000 && notice.live_bytes >= 90_000)
                    }
                    let entries = try await deployment.client.query(
                        "SELECT 1 FROM log_entry WHERE kind = \(LogKind.quotaWarning.rawValue)"
                    )
                    #expect(entries.count == 2)

                    try await deployment.client.query("UPDATE quota_threshold SET type = 'Reject'")
                    #expect(try await deployment.registry.get("/v2/up/a/b/manifests/v1").status == 200)
                    let refused = try await deployment.registry.get("/v2/up/a/b/manifests/v2")
                    #expect(refused.status == 403 && refused.errorCode == "DENIED")
                    #expect(refused.text.contains("80 %"))
                }
            }
        }
    }

    @Test("without a secret it is told as well, and nothing is signed")
    func unsigned() async throws {
        try await RawServer.with({ connection in
            try connection.request()
            try connection.send("HTTP/1.1 204 Taken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }) { webhook in
            try await ScriptedUpstream.with { upstream in
                upstream.add(ImageFixture.single(seed: 903, size: 90_000), to: "a/b", tag: "v1")
                try await Deployment.with(["up=\(upstream.url)"]) { deployment in
                    try await deployment.addPruner(["ENTREPOT_QUOTA_WEBHOOK_URL": webhook.url + "/hook"])
                    try await deployment.limit("up", to: 100_000)
                    try await deployment.client.query(
                        "INSERT INTO quota_threshold (quota_id, type, percent) SELECT id, 'Warning', 80 FROM quota"
                    )
                    #expect(try await deployment.registry.get("/v2/up/a/b/manifests/v1").status == 200)
                    try await eventually("the crossing is told") { webhook.requests.count == 1 }
                    let notice = try #require(webhook.requests.first)
                    #expect(notice.values("X-Entrepot-Signature").isEmpty)
                    #expect(try JSONDecoder().decode(Notice.self, from: Data(notice.body)).percent == 80)
                }
            }
        }
    }
}
