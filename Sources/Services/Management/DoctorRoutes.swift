// SPDX-License-Identifier: Apache-2.0

import Blobs
import Foundation
import Hummingbird
import Jobs
import Metadata
import Models
import Postgres
import PullThrough

/// Looks for what is wrong, and says what to do.
struct DoctorRoutes: Sendable {
    let client: PostgresClient
    let desk: FetchDesk
    let space: @Sendable () throws -> StorageSpace

    init(client: PostgresClient, desk: FetchDesk, space: @escaping @Sendable () throws -> StorageSpace) {
        self.client = client
        self.desk = desk
        self.space = space
    }

    var operations: [Operation] {
        [
            Operation(
                .get,
                "superuser/doctor",
                "diagnose",
                "Check database, clocks, storage, queues, upstreams and credentials. Asks every upstream.",
                .superuser,
                .ok([
                    Schema.has("now", .text(), "The database's clock."),
                    Schema.has(
                        "findings",
                        .list(
                            .object([
                                Schema.has("check", .text()), Schema.has("subject", .text(0...4_096)),
                                Schema.has("status", .choice(Finding.Status.allCases.map(\.rawValue))),
                                Schema.has("message", .anyText), Schema.has("advice", .anyText),
                            ]),
                            maximum: 1_000_000
                        )
                    ),
                ]),
                diagnose
            )
        ]
    }

    private struct Report: Encodable {
        let now: String
        let findings: [Finding]
    }

    private func diagnose(_ call: Call) async throws -> Response {
        let start = ContinuousClock.now
        let before = Date().timeIntervalSince1970
        let row = try await client.query("SELECT extract(epoch FROM clock_timestamp())::float8, version()")
            .decodeFirst((Double, String).self)
        let half = (ContinuousClock.now - start) / .seconds(2)
        guard let (now, version) = row else { throw APIError.notFound("the database says nothing") }
        var findings = [
            Finding.ok(
                "database",
                String(version.prefix { $0 != "(" }).trimmingCharacters(in: .whitespaces),
                "answers"
            ),
            Diagnosis.clock(skew: .seconds(before + half - now)),
        ]
        do {
            let space = try space()
            findings.append(
                Diagnosis.storage(
                    space.place,
                    freeBytes: space.freeBytes,
                    totalBytes: space.totalBytes,
                    isWritable: space.isWritable
                )
            )
        } catch let error as BlobStorageError {
            findings.append(
                Finding(
                    check: "storage",
                    subject: "blobs",
                    status: .problem,
                    message: "\(error)",
                    advice: "mount the blob volume on every frontend and fetcher (BLOB_DIRECTORY)"
                )
            )
        }
        findings += try await JobQueue().summaries(on: client).map {
            Diagnosis.queue($0.queue.rawValue, discarded: $0.discarded, oldestDue: $0.oldestDue)
        }
        findings += try await upstreams()
        return try APIReply.json(Report(now: APITime.text(now), findings: findings))
    }

    private func upstreams() async throws -> [Finding] {
        let organizations = try await OrganizationStore().all(on: client)
        return await withTaskGroup(of: Finding.self) { group in
            for organization in organizations {
                guard let config = organization.proxyCache else { continue }
                let check = UpstreamCheck(
                    of: config.upstream,
                    organization: organization.id,
                    realmHosts: config.realmHosts,
                    login: .stored
                )
                group.addTask {
                    let result: Result<UpstreamChecked, FetchFailure>
                    do { result = .success(try await desk.fetch(check)) } catch let failure as FetchFailure {
                        result = .failure(failure)
                    } catch {
                        result = .failure(FetchFailure(.cache, "\(error)"))
                    }
                    return Diagnosis.upstream(organization.name.rawValue, result)
                }
            }
            var findings: [Finding] = []
            for await finding in group { findings.append(finding) }
            return findings.sorted { $0.subject < $1.subject }
        }
    }
}
