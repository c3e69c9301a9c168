// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPTypes
import TestSupport
import Testing

/// One trace of a pull, across the processes that have to do with it.
@Suite("Traces")
struct TraceTests {
    private static let image = ImageFixture.single(seed: 77, size: 100_000)
    private static let trace = "0af7651916cd43dd8448eb211c80319c"
    private static let client = "b7ad6b7169203331"

    private func headers(isSampled: Bool = true) throws -> HTTPFields {
        let name = try #require(HTTPField.Name("traceparent"))
        return [name: "00-\(Self.trace)-\(Self.client)-\(isSampled ? "01" : "00")"]
    }

    @Test("a cold pull's trace leads from the proxy in front through frontend and job to what upstream was asked")
    func pull() async throws {
        let layer = try #require(Self.image.blobs.last)
        try await SpanCollector.with { collector, url in
            try await ScriptedUpstream.with { upstream in
                upstream.add(Self.image, to: "app", tag: "1")
                let environment = ["ENTREPOT_TRACES_ENDPOINT": url, "ENTREPOT_TRUSTED_PROXIES": "127.0.0.1"]
                try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                    for (path, kind) in [
                        ("/v2/cache/app/manifests/1", "manifest"), ("/v2/cache/app/blobs/\(layer.digest)", "blob"),
                    ] {
                        #expect(try await deployment.registry.get(path, headers()).status == 200)
                        let request = try await collector.first("the request for \(path)") {
                            $0.attributes["url.path"] == path
                        }
                        #expect(request.service == "registry-frontend" && request.name == "GET \(kind)")
                        #expect(request.trace == Self.trace && request.parent == Self.client && request.kind == 2)
                        #expect(request.attributes["http.response.status_code"] == "200")
                        #expect(request.attributes["entrepot.outcome"] == "miss" && request.status == nil)

                        let job = try await collector.first("its job") { $0.parent == request.id }
                        #expect(job.service == "upstream-fetcher" && job.name == "job \(kind)_fetch")
                        #expect(job.trace == Self.trace && job.kind == 5 && job.status == nil)
                        #expect(job.attributes["entrepot.request.id"] == request.attributes["entrepot.request.id"])

                        let asked = try await collector.first("what upstream was asked") { $0.parent == job.id }
                        #expect(asked.service == "upstream-fetcher" && asked.name == "GET" && asked.kind == 3)
                        #expect(asked.attributes["server.address"] == "127.0.0.1")
                        #expect(asked.attributes["entrepot.asked"]?.hasPrefix(kind) == true)
                        #expect(job.nanoseconds.start <= asked.nanoseconds.start)
                        #expect(asked.nanoseconds.end <= job.nanoseconds.end)
                    }
                    try await deployment.fetchers[0].line(containing: "trace.id=\(Self.trace)")

                    #expect(try await deployment.registry.get("/api/v1/discovery", headers()).status == 200)
                    let call = try await collector.first("the API's") {
                        $0.attributes["url.path"] == "/api/v1/discovery"
                    }
                    #expect(call.name == "GET" && call.trace == Self.trace && call.parent == Self.client)
                    #expect(call.attributes["http.response.status_code"] == "200")
                }
            }
            #expect(collector.complaints.isEmpty)
        }
    }

    @Test("a client's word begins no trace, and a trusted proxy's that nothing is recorded holds everywhere")
    func strangers() async throws {
        try await SpanCollector.with { collector, url in
            try await ScriptedUpstream.with { upstream in
                upstream.add(Self.image, to: "app", tag: "1")
                let environment = ["ENTREPOT_TRACES_ENDPOINT": url]
                try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                    try await deployment.addFrontend(["ENTREPOT_TRUSTED_PROXIES": "127.0.0.1"])
                    let path = "/v2/cache/app/manifests/1"
                    #expect(try await deployment.clients[1].get(path, headers(isSampled: false)).status == 200)
                    #expect(try await deployment.clients[0].get(path, headers()).status == 200)
                    let request = try await collector.first("the stranger's request") {
                        $0.attributes["url.path"] == path
                    }
                    #expect(request.parent == nil)
                    _ = try await collector.first("its job") { $0.parent == request.id }
                    // Whoever ends tells what it hasn't told yet.
                    for process in deployment.frontends + deployment.fetchers {
                        #expect(try await process.stop(SIGTERM) == 0)
                    }
                }
            }
            #expect(!collector.spans.contains { $0.trace == Self.trace })
        }
    }

    @Test("what fails upstream is an error of every span on the way")
    func failure() async throws {
        try await SpanCollector.with { collector, url in
            try await ScriptedUpstream.with { upstream in
                upstream.fault("manifests/1", .answer(500, [:], []))
                let environment = ["ENTREPOT_TRACES_ENDPOINT": url]
                try await Deployment.with(["cache=\(upstream.url)"], environment: environment) { deployment in
                    #expect(try await deployment.registry.get("/v2/cache/app/manifests/1").status == 502)
                    let request = try await collector.first("the request") { $0.service == "registry-frontend" }
                    #expect(request.status == 2 && request.attributes["entrepot.outcome"] == "error")
                    let job = try await collector.first("its job") { $0.parent == request.id }
                    #expect(job.status == 2)
                    let asked = try await collector.first("what upstream was asked") { $0.parent == job.id }
                    #expect(asked.status == 2 && asked.attributes["http.response.status_code"] == "500")
                }
            }
        }
    }
}
