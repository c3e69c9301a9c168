// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import OCI
import Testing

/// Random cases from a fixed seed: nothing traps, and what is accepted means the same when it is written and read
/// again.
@Suite struct FuzzTests {
    private static let cases = 20_000
    private static let hostilePieces = [
        "/", "//", "..", "%2F", "%2e", "%00", "\\", "\u{0}", "\r\n", "?", "&", "=", ":", "@", "\"", ",", "-", "_", "é",
        "\u{301}", "manifests", "blobs", "uploads", "tags/list", "referrers", "ns=", "n=", "sha256:",
        "99999999999999999999",
        "{", "}", "[", "]", "null", "\"layers\":[]", "\"manifests\":[]", "\\u0061", "\u{17F}", "Bearer ", "bytes=",
    ]

    @Test("references match the grammar of the specification exactly")
    func references() async {
        var random = SeededGenerator(seed: 1)
        let tag = #/[a-zA-Z0-9_][a-zA-Z0-9._\-]{0,127}/#.matchingSemantics(.unicodeScalar)
        let digest = #/sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}/#.matchingSemantics(.unicodeScalar)
        let seeds = ["latest", "v1.2-3_x", String(repeating: "t", count: 127), Samples.zeros, Samples.long]
        var accepted = 0
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let text = random.mutate(random.pick(seeds, or: ""), hostile: Self.hostilePieces)
            let reference = Reference(rawValue: text)
            #expect((reference?.tag != nil) == (text.wholeMatch(of: tag) != nil), "\(text)")
            #expect((reference?.digest != nil) == (text.wholeMatch(of: digest) != nil), "\(text)")
            guard let reference else { continue }
            accepted += 1
            #expect(reference.rawValue == text)
        }
        #expect(accepted > 1_000)
    }

    @Test("repository names match the grammar of the specification exactly")
    func names() async {
        var random = SeededGenerator(seed: 2)
        let grammar = #/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/#
            .matchingSemantics(.unicodeScalar)
        let alphabet = Array("ab0._-/A%")
        var accepted = 0
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let length = Int.random(in: 0...9, using: &random)
            let text = String((0..<length).map { _ in random.pick(alphabet, or: "a") })
            let name = RepositoryName(rawValue: text)
            #expect((name != nil) == (text.wholeMatch(of: grammar) != nil), "\(text)")
            if name != nil { accepted += 1 }
        }
        #expect(accepted > 100)
    }

    @Test("requests survive being written and read, and mutations of them mean what their path says")
    func requests() async throws {
        var random = SeededGenerator(seed: 3)
        let methods: [HTTPRequest.Method] = [.get, .head, .put, .post, .patch, .delete, .options]
        var accepted = 0
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let request = try randomRequest(using: &random)
            #expect(try RegistryRequest(method: request.method, target: request.path) == request)

            let target = random.mutate(request.path, hostile: Self.hostilePieces)
            let method = random.pick(methods, or: .get)
            // Most mutations are refused; that they do not trap is all there is to see.
            guard let parsed = try? RegistryRequest(method: method, target: target) else { continue }
            accepted += 1
            #expect(parsed.method == method)
            #expect(try RegistryRequest(method: method, target: parsed.path) == parsed, "\(target)")
            let path = parsed.path.split(separator: "?").first ?? ""
            #expect(!path.contains("//") && !path.contains("%") && !path.contains("\\") && !path.contains("/../"))
        }
        #expect(accepted > 1_000)
    }

    private func randomRequest(using random: inout SeededGenerator) throws -> RegistryRequest {
        let name = try RepositoryName(
            random.pick(["a", "library/alpine", "a/blobs/uploads", "tags/list", "a.b/c__d/e--f"], or: "a")
        )
        let digest = try Digest(random.pick([Samples.zeros, Samples.long], or: Samples.zeros))
        let text = random.pick([nil, "v1", "a b&c=d?é/+%", String(repeating: "x", count: 255)], or: nil)
        let session = random.pick(["a", "5f0c-1", "~_.", "..."], or: "a")
        let routes: [RegistryRequest.Route] = [
            .ping, .manifest(name, .tag(.latest)), .manifest(name, .digest(digest)), .blob(name, digest),
            .tagList(name, n: random.pick([nil, 0, 7, Int(Int32.max)], or: nil), last: text),
            .referrers(name, digest, artifactType: text, last: digest), .push(.putManifest(name, .tag(.latest))),
            .push(.deleteManifest(name, .digest(digest))), .push(.deleteBlob(name, digest)), .push(.startUpload(name)),
            .push(.continueUpload(name, session: session)), .push(.finishUpload(name, session: session)),
            .push(.uploadStatus(name, session: session)), .push(.cancelUpload(name, session: session)),
        ]
        let route = random.pick(routes, or: .ping)
        var isHead = Bool.random(using: &random)
        if case .push(let kind) = route, kind != .uploadStatus(name, session: session) { isHead = false }
        let namespace = random.pick([nil, "docker.io", "localhost:5000", "[::1]:80"], or: nil)
        return RegistryRequest(route, isHead: isHead, namespace: namespace)
    }

    @Test("ranges stay inside the representation and never ask for more than it has")
    func ranges() async {
        var random = SeededGenerator(seed: 4)
        let seeds = ["0-", "500-1499", "-500", "0-1,4-5,-9", "9223372036854775807-", "0-0,2-2,1-1,50-"]
        var satisfiable = 0
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let size = random.pick([0, 1, 2, 100, 2048, .max - 1, .max], or: Int64(1))
            let set = random.mutate(
                random.pick(seeds, or: ""),
                hostile: Self.hostilePieces + ["0", "1-", "-7", ",1-2"]
            )
            let header = "bytes=\(set)"
            guard case .satisfiable(let slices) = ByteRange.resolve(header: header, size: size) else { continue }
            satisfiable += 1
            #expect((1...ByteRange.maximumRanges).contains(slices.count))
            #expect(slices.allSatisfy { $0.offset >= 0 && $0.length > 0 && $0.offset <= size - $0.length })
            let total = slices.reduce(into: (sum: Int64(0), overflow: false)) { result, slice in
                let (sum, overflow) = result.sum.addingReportingOverflow(slice.length)
                result = (sum, result.overflow || overflow)
            }
            #expect(!total.overflow && total.sum <= size)
            let rewritten =
                "bytes=" + slices.map { "\($0.offset)-\($0.offset + ($0.length - 1))" }.joined(separator: ",")
            #expect(ByteRange.resolve(header: rewritten, size: size) == .satisfiable(slices), "\(header)")
        }
        #expect(satisfiable > 1_000)
    }

    @Test("challenges survive being written and read, and no mutation breaks the bounds")
    func challenges() async {
        var random = SeededGenerator(seed: 5)
        let values = [
            "", "a", "https://auth.example/token?x=y,z", "a\"b", "c\\d", "tab\tbed", "é", "Basic realm=x", "=,=",
        ]
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let challenges = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                var parameters: [String: String] = [:]
                for name in ["realm", "service", "scope"] where Bool.random(using: &random) {
                    parameters[name] = random.pick(values, or: "")
                }
                let token = parameters.isEmpty ? random.pick([nil, "YWI=", "abc"], or: nil) : nil
                return AuthChallenge(
                    scheme: random.pick(["bearer", "basic", "x-y"], or: "basic"),
                    parameters: parameters,
                    token68: token
                )
            }
            let line = challenges.map(render).joined(separator: ", ")
            #expect(AuthChallenge.parse([line]) == challenges, "\(line)")

            let parsed = AuthChallenge.parse([random.mutate(line, hostile: Self.hostilePieces)])
            for challenge in parsed {
                let texts = [challenge.scheme] + challenge.parameters.flatMap { [$0.key, $0.value] }
                #expect(!texts.contains { $0.utf8.contains { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F } })
                #expect(!challenge.scheme.isEmpty)
            }
        }
    }

    private func render(_ challenge: AuthChallenge) -> String {
        let parameters = challenge.parameters.map { name, value in
            let escaped = value.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }
            return "\(name)=\"\(String(escaped))\""
        }
        return ([challenge.scheme] + (challenge.token68.map { [$0] } ?? []) + [parameters.joined(separator: ", ")])
            .filter { !$0.isEmpty }.joined(separator: " ")
    }

    @Test("no mutation of a manifest traps, and what is read keeps the rules")
    func manifests() async {
        var random = SeededGenerator(seed: 6)
        let types: [MediaType?] = [nil, .ociManifest, .ociIndex, .dockerManifest, .octetStream, .dockerSchema1]
        let seeds = [
            Samples.image(), Samples.index(), Samples.image(type: nil), Samples.index(type: nil, manifests: "[]"),
        ]
        .map { Array($0.utf8) }
        var accepted = 0
        for number in 0..<Self.cases {
            if number.isMultiple(of: 500) { await Task.yield() }  // others need the pool's few threads
            let bytes = random.mutate(random.pick(seeds, or: []), hostile: Self.hostilePieces)
            let type = random.pick(types, or: nil)
            // Most mutations are refused; that they do not trap is all there is to see.
            guard let document = try? ManifestDocument(bytes: bytes, contentType: type) else { continue }
            accepted += 1
            #expect((document.kind == .index) == document.mediaType.isIndex)
            #expect(document.mediaType.isIndex || document.mediaType.isImageManifest)
            #expect(
                document.kind == .index ? document.config == nil && document.layers.isEmpty : document.config != nil
            )
            #expect(document.kind == .index || document.manifests.isEmpty)
            let all = document.layers + document.manifests + [document.config, document.subject].compactMap { $0 }
            #expect(all.allSatisfy { (0...Descriptor.maximumSize).contains($0.size) })
            if let type, type.isIndex || type.isImageManifest { #expect(type.isIndex == document.mediaType.isIndex) }
        }
        #expect(accepted > 100)
    }
}
