// SPDX-License-Identifier: Apache-2.0

import Foundation
import Models
import Testing

@testable import Management

@Suite("What values have to look like")
struct SchemaTests {
    private static func complaint(_ schema: Schema, _ text: String, _ name: String = "field") throws -> String? {
        let value = try JSONDecoder().decode(JSON.self, from: Data(text.utf8))
        do { try schema.check(value, name) } catch { return error.message }
        return nil
    }

    @Test(
        "a value that fits says nothing, and one that doesn't is named with what was expected",
        arguments: [
            (Schema.integer(0...10), "7", nil), (.integer(0...10), "7.0", nil),
            (.integer(0...10), "7.5", "field: expected a whole number from 0 to 10"),
            (.integer(0...10), "11", "field: expected a whole number from 0 to 10"),
            (.integer(0...10), "true", "field: expected a whole number from 0 to 10"),
            (.integer(0...10), "1e400", "field: expected a whole number from 0 to 10"),
            (.flag, "1", "field: expected true or false"), (.flag, "false", nil),
            (.text(1...3), #""abc""#, nil), (.text(1...3), #""äöü""#, "field: expected text of 1 to 3 bytes"),
            (.text(1...3), #""a\u0000""#, "field: expected text of 1 to 3 bytes"),
            (.choice(["a", "b"]), #""c""#, "field: expected a, b"), (.nullable(.flag), "null", nil),
            (.list(.flag, maximum: 1), "[true,false]", "field: expected a list of 1 at the most, each true or false"),
            (.either(.flag, .choice([""])), #""""#, nil),
        ] as [(Schema, String, String?)]
    )
    func values(schema: Schema, text: String, expected: String?) throws {
        // What this reader doesn't take is refused before it comes here.
        let isJSON = (try? JSONDecoder().decode(JSON.self, from: Data(text.utf8))) != nil
        #expect(isJSON || ["1e400", #""a\u0000""#].contains(text))
        if isJSON { #expect(try Self.complaint(schema, text) == expected) }
    }

    @Test("an object has its members and no others; what may be left out may be null")
    func objects() throws {
        let schema = Schema.object([Schema.has("a", .flag), Schema.may("b", .flag)])
        #expect(try Self.complaint(schema, #"{"a":true,"b":null}"#) == nil)
        #expect(try Self.complaint(schema, #"{"b":true}"#) == "field.a: is needed")
        #expect(try Self.complaint(schema, #"{"b":true}"#, "") == "a: is needed")
        #expect(try Self.complaint(schema, #"{"a":null}"#) == "field.a: expected true or false")
        #expect(try Self.complaint(schema, #"{"a":true,"z":1,"y":2}"#) == "unknown fields: y, z")
        #expect(try Self.complaint(schema, "[]", "") == "the body has to be a JSON object")
    }
}

@Suite("Paths of repositories")
struct RepositoryPathTests {
    private static let endings = [["tag"], ["tag", "{tag}"], ["tag", "{tag}", "history"], ["manifest", "{digest}"]]

    @Test(
        "the name's slashes are escaped, and what follows it isn't taken for a part of it",
        arguments: [
            ("repository/org/a", "repository/org%2Fa"), ("repository/org/a/b/c", "repository/org%2Fa%2Fb%2Fc"),
            ("repository/org/a/tag/", "repository/org%2Fa/tag"),
            ("repository/org/a/b/tag/t", "repository/org%2Fa%2Fb/tag/t"),
            ("repository/org%2Fa/tag/t/history", "repository/org%2Fa/tag/t/history"),
            ("repository/org%2ftag/tag/tag", "repository/org%2ftag/tag/tag"),
            ("repository/org/tag/tag/tag", "repository/org%2Ftag/tag/tag"),
            ("repository/org/a/manifest/x", "repository/org%2Fa/manifest/x"), ("repository/", "repository/"),
            ("organization/a/b", "organization/a/b"),
        ]
    )
    func folding(path: String, expected: String) {
        #expect(RepositoryPath.fold("/api/v1/" + path, endings: Self.endings) == "/api/v1/" + expected)
    }
}

@Suite("Times of the API")
struct APITimeTests {
    @Test("times are written as the model writes them, and its dates and ISO 8601 are read")
    func both() throws {
        #expect(APITime.text(1_784_021_400) == "Tue, 14 Jul 2026 09:30:00 -0000")
        #expect(APITime.text(0) == "Thu, 01 Jan 1970 00:00:00 -0000")
        #expect(try APITime.date("07/14/2026", "t").timeIntervalSince1970 == 1_783_987_200)
        #expect(try APITime.date("2026-07-14T09:30:00Z", "t").timeIntervalSince1970 == 1_784_021_400)
        #expect(try APITime.date("9999-12-31T23:59:59Z", "t").timeIntervalSince1970 == 253_402_300_799)
        let wrong = [
            "", "13/01/2026", "02/30/2026", "1/1/20", "yesterday", "2026-07-14", "1960-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z", "294277-12-31T00:00:00Z",
        ]
        for text in wrong {
            let error = #expect(throws: APIError.self, "\(text)") { try APITime.date(text, "endtime") }
            #expect(error?.message.hasPrefix("endtime: ") == true)
        }
    }
}

@Suite("Diagnosis")
struct DiagnosisTests {
    @Test("what is in order has no advice, and what isn't has some, worse as it gets worse")
    func degrees() {
        let gibibyte: Int64 = 1 << 30
        let findings: [(Finding, Finding.Status)] = [
            (Diagnosis.clock(skew: .milliseconds(-900)), .ok), (Diagnosis.clock(skew: .seconds(-5)), .warning),
            (Diagnosis.clock(skew: .seconds(60)), .problem),
            (Diagnosis.storage("s", freeBytes: 50 * gibibyte, totalBytes: 100 * gibibyte, isWritable: true), .ok),
            (Diagnosis.storage("s", freeBytes: 5 * gibibyte, totalBytes: 100 * gibibyte, isWritable: true), .warning),
            (Diagnosis.storage("s", freeBytes: gibibyte, totalBytes: 100 * gibibyte, isWritable: true), .problem),
            (Diagnosis.queue("manifests", discarded: 3, oldestDue: nil), .ok),
            (Diagnosis.queue("manifests", discarded: 0, oldestDue: .seconds(20)), .problem),
            (Diagnosis.queue("fills", discarded: 0, oldestDue: .seconds(20)), .warning),
            (Diagnosis.upstream("o", .success(.valid)), .ok), (Diagnosis.upstream("o", .success(.anonymous)), .ok),
        ]
        for (finding, status) in findings {
            #expect(finding.status == status, "\(finding)")
            #expect(finding.advice.isEmpty == (status == .ok), "\(finding)")
        }
        #expect(findings[1].0.message.contains("5.0 s"))
    }

    @Test(
        "every way in which an upstream fails has its advice",
        arguments: [FetchFailure.Cause.denied, .refusedAddress, .unreachable, .timeout, .rateLimited, .upstreamError]
    )
    func causes(cause: FetchFailure.Cause) {
        let finding = Diagnosis.upstream("team", .failure(FetchFailure(cause, "why")))
        #expect(finding.status == .problem && finding.message == "why" && !finding.advice.isEmpty)
    }
}
