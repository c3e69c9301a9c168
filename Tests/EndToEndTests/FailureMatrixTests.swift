// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import HTTPTypes
import Models
import OCI
import Postgres
import TestSupport
import Testing

/// Every way in which an upstream fails × everything that may be cached: status, code, headers, logged outcome, and that
/// a failure renews nothing.
@Suite struct FailureMatrixTests {
    /// A way to fail, and what a client is told of it when nothing is cached.
    struct Failure: Sendable, CustomTestStringConvertible {
        enum Way: Sendable {
            /// The organization is pointed at this address.
            case address(String)
            case answer(Int, HTTPFields, String)
            /// Silence before the head.
            case silence
            /// A head, and then nothing.
            case hang
            /// A head, and then a byte now and then.
            case drip
            case certificate
            case blackhole

            /// Short ones for what they end; an answer may take its time on a busy machine.
            var deadlines: [String: String] {
                switch self {
                case .blackhole: ["ENTREPOT_UPSTREAM_CONNECT_TIMEOUT": "300ms"]
                case .silence: ["ENTREPOT_UPSTREAM_RESPONSE_TIMEOUT": "1s"]
                case .hang: ["ENTREPOT_UPSTREAM_RESPONSE_TIMEOUT": "1s", "ENTREPOT_UPSTREAM_IDLE_TIMEOUT": "1s"]
                case .drip: ["ENTREPOT_UPSTREAM_RESPONSE_TIMEOUT": "1s", "ENTREPOT_UPSTREAM_MANIFEST_TIMEOUT": "2s"]
                case .address, .answer, .certificate: [:]
                }
            }
        }

        let testDescription: String
        let way: Way
        let status: Int
        let code: String
        var retryAfter: String?

        static let all: [Failure] = [
            Failure(testDescription: "no such name", way: .address("http://upstream.invalid"), status: 503),
            Failure(testDescription: "refused", way: .address("http://127.0.0.1:9"), status: 503),
            Failure(testDescription: "connect timeout", way: .blackhole, status: 504),
            Failure(testDescription: "bad certificate", way: .certificate, status: 503),
            Failure(testDescription: "401", way: .answer(401, [:], "no"), status: 403, code: "DENIED"),
            Failure(testDescription: "403", way: .answer(403, [:], "no"), status: 403, code: "DENIED"),
            Failure(testDescription: "404", way: .answer(404, [:], "no"), status: 404, code: "MANIFEST_UNKNOWN"),
            Failure(
                testDescription: "429 with seconds",
                way: .answer(429, [.retryAfter: "17"], "no"),
                status: 429,
                code: "TOOMANYREQUESTS",
                retryAfter: "17"
            ),
            Failure(
                testDescription: "429 with a date",
                way: .answer(429, [.retryAfter: "Fri, 01 Jan 2100 00:00:00 GMT"], "no"),
                status: 429,
                code: "TOOMANYREQUESTS",
                retryAfter: "86400"
            ),
            Failure(testDescription: "429", way: .answer(429, [:], "no"), status: 429, code: "TOOMANYREQUESTS"),
            Failure(testDescription: "500", way: .answer(500, [:], "no"), status: 502),
            Failure(
                testDescription: "502 with a page",
                way: .answer(502, [.contentType: "text/html"], "<html>Bad gateway</html>"),
                status: 502
            ),
            Failure(testDescription: "503", way: .answer(503, [:], "no"), status: 502),
            Failure(testDescription: "silence", way: .silence, status: 504),
            Failure(testDescription: "hang after the head", way: .hang, status: 504),
            Failure(testDescription: "slow drip", way: .drip, status: 504),
        ]

        init(
            testDescription: String,
            way: Way,
            status: Int,
            code: String = "UNAVAILABLE",
            retryAfter: String? = nil
        ) {
            self.testDescription = testDescription
            self.way = way
            self.status = status
            self.code = code
            self.retryAfter = retryAfter
        }
    }

    private static let image = ImageFixture.image(layers: [.text("layer")])
    private static let path = "/v2/up/a/b/manifests/t"

    @Test("each failure with each state of the cache", arguments: Failure.all)
    func matrix(_ failure: Failure) async throws {
        try await ScriptedUpstream.with { upstream in
            for tag in ["t", "other"] { upstream.add(Self.image, to: "a/b", tag: tag) }
            try await Deployment.with(
                ["up=\(upstream.url)"],
                frontends: 2,
                fetchers: 2,
                environment: failure.way.deadlines
            ) { deployment in
                // Its deadlines bind a good upstream on a slow machine as well.
                try await eventually("the image is here") {
                    try await deployment.registry.get(Self.path).status == 200
                }
                try await deployment.forgetFailures()
                expectServed(try await deployment.pullRecorded(Self.path, tag: "t"), Self.image.bytes)
                try await breaking(failure, upstream, deployment) {
                    try await fresh(deployment, upstream)
                    try await stale(failure, deployment)
                    try await beyond(failure, deployment)
                    try await uncached(failure, deployment)
                }
            }
        }
    }

    // MARK: - States

    private func fresh(_ deployment: Deployment, _ upstream: ScriptedUpstream) async throws {
        try await deployment.configure("up", "freshness_s = 3600")
        upstream.forgetRequests()
        let got = try await deployment.pullRecorded(Self.path, tag: "t")
        expectServed(got, Self.image.bytes, "fresh")
        #expect(got.headers[values: .warning].isEmpty)
        #expect(upstream.requests.isEmpty)
        try await deployment.configure("up", "freshness_s = 0")
    }

    private func stale(_ failure: Failure, _ deployment: Deployment) async throws {
        let before = try await Self.clocks(deployment)
        for client in deployment.clients {
            let got = try await deployment.pullRecorded(Self.path, by: client, tag: "t")
            expectServed(got, Self.image.bytes, "stale inside the period")
            let warning = got.headers[values: .warning].first
            #expect(warning?.hasPrefix("299 - \"") == true, "\(warning ?? "no warning")")
            #expect(got.headers[.dockerContentDigest] == Self.image.digest.description)
        }
        let line = try await deployment.frontends[0].line(containing: "outcome=stale")
        #expect(line.contains(Self.path))
        #expect(try await Self.clocks(deployment) == before, "a failure renews nothing")
        try await deployment.forgetFailures()
    }

    private func beyond(_ failure: Failure, _ deployment: Deployment) async throws {
        try await deployment.configure("up", "staleness_s = 60")
        try await deployment.client.query("UPDATE tag SET checked_at = now() - interval '61 seconds'")
        try await expectCause(failure, Self.path, deployment, "stale beyond the period")
        try await deployment.forgetFailures()
    }

    private func uncached(_ failure: Failure, _ deployment: Deployment) async throws {
        try await expectCause(failure, "/v2/up/a/b/manifests/other", deployment, "not cached")
        let rows = try await deployment.client.query("SELECT 1 FROM tag WHERE name = 'other'")
        #expect(rows.isEmpty)
    }

    private func expectCause(
        _ failure: Failure,
        _ path: String,
        _ deployment: Deployment,
        _ comment: Comment
    ) async throws {
        let got = try await deployment.registry.get(path)
        #expect(got.status == failure.status, "\(comment): \(got.text)")
        #expect(got.errorCode == failure.code, "\(comment): \(got.text)")
        if let seconds = failure.retryAfter { #expect(got.headers[.retryAfter] == seconds, comment) }
        #expect(got.text.contains("upstream"), "\(comment): the message names the upstream: \(got.text)")
        let line = try await deployment.frontends[0].line(containing: "outcome=error path=\(path) ")
        #expect(line.contains("status=\(failure.status)"))
    }

    private static func clocks(_ deployment: Deployment) async throws -> String {
        try await deployment.client.query("SELECT string_agg(checked_at || ' ' || expires_at, ',') FROM tag")
            .decodeFirst(String.self) ?? ""
    }

    // MARK: - Ways

    private func breaking(
        _ failure: Failure,
        _ upstream: ScriptedUpstream,
        _ deployment: Deployment,
        _ body: () async throws -> Void
    ) async throws {
        switch failure.way {
        case .address(let address):
            try await deployment.point("up", at: address)
            try await body()
        case .answer(let status, let headers, let text):
            upstream.fault("/v2/", .answer(status, headers, Array(text.utf8)))
            try await body()
        case .silence:
            let gate = Gate()
            upstream.fault("/v2/", .hold(gate))
            try await body()
            gate.open()
        case .hang, .drip:
            // HEAD has no body to stop in, so it is silent, too.
            let gate = Gate()
            upstream.fault("HEAD ", .hold(gate))
            if case .hang = failure.way {
                upstream.fault("GET ", .stall(after: 0, gate))
            } else {
                upstream.fault("GET ", .drip(.milliseconds(50)))
            }
            try await body()
            gate.open()
        case .certificate:
            let server = try await SelfSignedServer()
            try await deployment.point("up", at: "https://127.0.0.1:\(server.port)")
            try await body()
        case .blackhole:
            let blackhole = try BlackHole()
            defer { withExtendedLifetime(blackhole) {} }
            try await deployment.point("up", at: "http://127.0.0.1:\(blackhole.port)")
            try await body()
        }
    }
}
