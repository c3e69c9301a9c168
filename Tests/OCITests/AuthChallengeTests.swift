// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct AuthChallengeTests {
    private static func bearer(_ parameters: [String: String]) -> AuthChallenge {
        AuthChallenge(scheme: "bearer", parameters: parameters)
    }

    @Test(
        "challenges of the grammar, and those that registries really send",
        arguments: [
            (
                [
                    #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#
                ],
                [
                    bearer([
                        "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                        "scope": "repository:a:pull,push",
                    ])
                ]
            ),
            ([#"bEaReR REALM="X""#], [bearer(["realm": "X"])]),
            (["Basic"], [AuthChallenge(scheme: "basic")]),
            (
                ["Negotiate, Basic realm=x"],
                [AuthChallenge(scheme: "negotiate"), AuthChallenge(scheme: "basic", parameters: ["realm": "x"])]
            ),
            (["Negotiate YWJj+/~-._=="], [AuthChallenge(scheme: "negotiate", token68: "YWJj+/~-._==")]),
            (
                ["Negotiate YWI= , Bearer a=b"],
                [AuthChallenge(scheme: "negotiate", token68: "YWI="), bearer(["a": "b"])]
            ),
            (
                [#"Basic realm="a, Bearer realm=b", charset="UTF-8", Bearer realm="c""#],
                [
                    AuthChallenge(scheme: "basic", parameters: ["realm": "a, Bearer realm=b", "charset": "UTF-8"]),
                    bearer(["realm": "c"]),
                ]
            ),
            ([#"Bearer realm="a\"b\\c\d""#], [bearer(["realm": #"a"b\cd"#])]),
            (["Bearer realm = \"a\" , service\t=\tb"], [bearer(["realm": "a", "service": "b"])]),
            ([#"Bearer realm="a" service="b""#], [bearer(["realm": "a", "service": "b"])]),
            ([#",, Bearer realm="a",, ,"#], [bearer(["realm": "a"])]),
            ([#"Bearer realm="a",realm="b""#], [bearer(["realm": "a"])]),
            ([#"Bearer realm="",service="#], [bearer(["realm": "", "service": ""])]),
            ([#"Bearer realm="é""#], [bearer(["realm": "é"])]),
            (
                ["Basic realm=a", "Bearer realm=b"],
                [AuthChallenge(scheme: "basic", parameters: ["realm": "a"]), bearer(["realm": "b"])]
            ),
            (["", " ", ","], []), ([], []), (["=", "\"", "\"\"", "@"], []), ([#"realm="a""#], []),
        ] as [([String], [AuthChallenge])]
    )
    func parsed(_ headers: [String], _ expected: [AuthChallenge]) {
        #expect(AuthChallenge.parse(headers) == expected)
    }

    @Test(
        "a malformed challenge is left out, the others stay",
        arguments: [
            ([#"Basic realm=a, Bearer realm="b"#], [AuthChallenge(scheme: "basic", parameters: ["realm": "a"])]),
            ([#"Bearer realm="b"#, "Basic realm=a"], [AuthChallenge(scheme: "basic", parameters: ["realm": "a"])]),
            ([#"Bearer realm="a\"#], []), (["Bearer realm=\"a\u{0}b\", Basic"], [AuthChallenge(scheme: "basic")]),
            (["Bearer realm=\"a\r\nb\",service=c"], []), (["Bearer realm=\"a\u{7F}\""], []),
            (["Bearer realm=\"a\tb\""], [bearer(["realm": "a\tb"])]),
            (["Bearer @@@, Basic"], [AuthChallenge(scheme: "basic")]),
            (["Bearer realm=a, \"x, Basic\", Basic"], [AuthChallenge(scheme: "basic")]),
        ] as [([String], [AuthChallenge])]
    )
    func malformed(_ headers: [String], _ expected: [AuthChallenge]) {
        #expect(AuthChallenge.parse(headers) == expected)
    }

    @Test("at most 32 challenges are read, from one line or many")
    func manyChallenges() {
        let line = (0..<10_000).map { "S\($0)" }.joined(separator: ",")
        #expect(AuthChallenge.parse([line]).map(\.scheme) == (0..<32).map { "s\($0)" })
        #expect(AuthChallenge.parse((0..<100).map { "S\($0) a=b" }).map(\.scheme) == (0..<32).map { "s\($0)" })
    }

    @Test("at most 16 KiB are read, and the challenge that the limit cuts is left out")
    func manyBytes() {
        let filler = String(repeating: "x", count: 20_000)
        #expect(AuthChallenge.parse(["Basic a=\"\(filler)\""]).isEmpty)
        #expect(AuthChallenge.parse(["Basic a=\(filler)"]).isEmpty)
        #expect(AuthChallenge.parse(["Basic a=b, Bearer a=\(filler)", "Digest a=b"]).map(\.scheme) == ["basic"])
        let exact = "Basic a=" + String(repeating: "x", count: AuthChallenge.maximumBytes - 8)
        #expect(AuthChallenge.parse([exact, "Bearer a=b"]).map(\.scheme) == ["basic"])
        #expect(AuthChallenge.parse([String(repeating: "\"", count: 1_000_000)]).isEmpty)
    }
}
