// SPDX-License-Identifier: Apache-2.0

import Metadata
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Rules that the schema keeps whatever the programs do.
@Suite("The schema", .timeLimit(.minutes(2)))
struct SchemaTests {
    private static let job = "INSERT INTO job (queue, kind, unique_key, payload"

    @Test(
        "states that mean nothing can't be written",
        arguments: [
            ("a job that has ended without a time", "\(job), state) VALUES ('q', 'k', 'u1', '{}', 'completed')"),
            ("a live job with an end", "\(job), finalized_at) VALUES ('q', 'k', 'u2', '{}', now())"),
            ("a running job without lease", "\(job), state) VALUES ('q', 'k', 'u3', '{}', 'running')"),
            ("a waiting job with a lease", "\(job), lease_expires_at) VALUES ('q', 'k', 'u4', '{}', now())"),
            ("a job without attempts", "\(job), max_attempts) VALUES ('q', 'k', 'u5', '{}', 0)"),
            (
                "a placed blob without size",
                "INSERT INTO blob (digest, generation, placed_at) VALUES ('x1', gen_random_uuid(), now())"
            ),
            (
                "a placed blob without time",
                "INSERT INTO blob (digest, generation, size_bytes) VALUES ('x2', gen_random_uuid(), 1)"
            ),
            ("a size without a copy", "INSERT INTO blob (digest, size_bytes) VALUES ('x3', 1)"),
            ("an organization of one letter", "INSERT INTO organization (name) VALUES ('a')"),
        ]
    )
    func checks(_ what: String, _ statement: String) async throws {
        try await TestDatabase.withStores { stores in
            let error = await #expect(throws: PostgresError.self, "\(what)") {
                try await stores.client.query("\(unescaped: statement)")
            }
            #expect(error?.sqlState == .checkViolation, "\(what)")
        }
    }

    @Test("a tag has one live lifetime, a thing to do one live job, and a copy one blob")
    func unique() async throws {
        try await TestDatabase.withStores { stores in
            let (repository, manifest) = try await stores.store(.unique())
            let tag: Query = """
                INSERT INTO tag (repository_id, name, manifest_id)
                VALUES (\(repository.rawValue), 'latest', \(manifest.rawValue))
                """
            let key = try Stores.uniqueName().rawValue
            let job: Query = "INSERT INTO job (queue, kind, unique_key, payload) VALUES ('q', 'k', \(key), '{}')"
            let generation = Generation().rawValue
            let blobs = ["INSERT", "INSERT"].map { insert -> Query in
                "\(unescaped: insert) INTO blob (digest, partial_generation) VALUES (gen_random_uuid(), \(generation))"
            }
            for (first, second) in [(tag, tag), (job, job), (blobs[0], blobs[1])] {
                try await stores.client.query(first)
                let error = await #expect(throws: PostgresError.self) { try await stores.client.query(second) }
                #expect(error?.sqlState == .uniqueViolation)
            }
        }
    }

    @Test("an organization takes its repositories, tags and jobs with it; content stays for the collector")
    func cascade() async throws {
        try await TestDatabase.withStores { stores in
            let image = ImageFixture.unique()
            try await stores.tag("latest", image)
            try await stores.client.query("DELETE FROM organization WHERE id = \(stores.organization.rawValue)")
            #expect(try await stores.find("latest") == nil)
            #expect(
                try await stores.count("SELECT count(*) FROM manifest WHERE digest = \(image.digest.rawValue)") == 1
            )
            #expect(try await stores.blobs.state(of: image.blobs[0].digest, on: stores.client) != nil)
        }
    }
}
