// SPDX-License-Identifier: Apache-2.0

import Models
import OCI
import Testing

@Suite("Mirror rules")
struct MirrorRulesTests {
    private static func organizations() throws -> [Organization] {
        let upstreams = [
            "hub=docker.io", "old-hub=registry-1.docker.io", "library=docker.io/library", "team=quay.io/team",
            "deep=quay.io/team/deep", "lab=http://127.0.0.1:5000", "none=",
        ]
        return try upstreams.enumerated().map { number, text in
            let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            return Organization(
                id: OrganizationID(rawValue: Int64(number)),
                name: try OrganizationName(parts[0]),
                proxyCache: parts[1].isEmpty ? nil : ProxyCacheConfig(upstream: try UpstreamAddress(parsing: parts[1]))
            )
        }
    }

    @Test(
        "a registry's name selects the organization that stands for it",
        arguments: [
            ("docker.io", "library/alpine", "hub", "library/alpine"), ("index.docker.io", "alpine", "hub", "alpine"),
            ("registry-1.docker.io", "a/b", "hub", "a/b"), ("docker.io:443", "a/b", "hub", "a/b"),
            ("quay.io", "team/app", "team", "app"), ("quay.io", "team/a/b", "team", "a/b"),
            ("127.0.0.1:5000", "a", "lab", "a"), ("docker.io", "old-hub/a/b", "old-hub", "a/b"),
            ("docker.io", "library/library/alpine", "library", "library/alpine"),
        ]
    )
    func chosen(_ namespace: String, _ path: String, _ organization: String, _ repository: String) throws {
        // `library/alpine` is also a path with the organization `library` in it; then that one is meant.
        let organizations = try Self.organizations().filter {
            path != "library/alpine" || $0.name.rawValue != "library"
        }
        let found = MirrorRules.choose(namespace, path: try RepositoryName(path), among: organizations)
        #expect(found?.organization.name.rawValue == organization)
        #expect(found?.repository.rawValue == repository)
    }

    @Test(
        "what no organization stands for is nobody's",
        arguments: [
            ("ghcr.io", "a/b"), ("quay.io", "other/app"), ("quay.io", "team"), ("quay.io", "teamster/app"),
            ("127.0.0.1:5001", "a"), ("evil-docker.io", "a/b"), ("docker.io.evil", "a/b"), ("docker.io:80", "a/b"),
        ]
    )
    func nobody(_ namespace: String, _ path: String) throws {
        #expect(MirrorRules.choose(namespace, path: try RepositoryName(path), among: try Self.organizations()) == nil)
    }
}
