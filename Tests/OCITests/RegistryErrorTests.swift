// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import HTTPTypes
import OCI
import Testing

@Suite struct RegistryErrorTests {
    private static let table: [(RegistryError.Code, String, Int)] = [
        (.blobUnknown, "BLOB_UNKNOWN", 404), (.blobUploadInvalid, "BLOB_UPLOAD_INVALID", 416),
        (.blobUploadUnknown, "BLOB_UPLOAD_UNKNOWN", 404), (.digestInvalid, "DIGEST_INVALID", 400),
        (.manifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN", 404), (.manifestInvalid, "MANIFEST_INVALID", 400),
        (.manifestUnknown, "MANIFEST_UNKNOWN", 404), (.nameInvalid, "NAME_INVALID", 400),
        (.nameUnknown, "NAME_UNKNOWN", 404), (.sizeInvalid, "SIZE_INVALID", 400), (.unauthorized, "UNAUTHORIZED", 401),
        (.denied, "DENIED", 403), (.unsupported, "UNSUPPORTED", 400), (.tooManyRequests, "TOOMANYREQUESTS", 429),
        (.rangeInvalid, "RANGE_INVALID", 416), (.unavailable, "UNAVAILABLE", 503), (.unknown, "UNKNOWN", 500),
    ]

    @Test("each code has its name and its status")
    func codes() {
        for (code, name, status) in Self.table {
            #expect(code.rawValue == name)
            #expect(RegistryError(code, message: "").status == status)
        }
    }

    @Test("the body is the JSON of the specification, whatever the text contains")
    func body() throws {
        struct Body: Decodable {
            struct Item: Decodable {
                var code: String
                var message: String
                var detail: [String: String]?
            }
            var errors: [Item]
        }
        let controls = String(String.UnicodeScalarView((0..<0x20).compactMap { Unicode.Scalar(UInt32($0)) }))
        let text =
            controls + "quote \" backslash \\ newline \n null \u{0} escape \u{1B} emoji 🦀 line \u{2028} del \u{7F}"
        let error = RegistryError(.denied, message: text, detail: [text: text, "b": "2", "a": "1"])
        #expect(error.body.allSatisfy { $0 >= 0x20 })
        let body = try JSONDecoder().decode(Body.self, from: Data(error.body))
        #expect(body.errors.count == 1)
        #expect(body.errors.first?.code == "DENIED")
        #expect(body.errors.first?.message == text)
        #expect(body.errors.first?.detail == [text: text, "b": "2", "a": "1"])

        let plain = RegistryError(.manifestUnknown, message: "no such tag", detail: ["b": "2", "a": "1"])
        #expect(
            String(decoding: plain.body, as: UTF8.self)
                == #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag","detail":{"a":"1","b":"2"}}]}"#
        )
        #expect(
            String(decoding: RegistryError(.unknown, message: "x").body, as: UTF8.self)
                == #"{"errors":[{"code":"UNKNOWN","message":"x"}]}"#
        )
    }

    @Test("headers carry the type, and Retry-After and Allow when known")
    func headers() {
        let limited = RegistryError(.tooManyRequests, message: "slow down", retryAfterSeconds: 30)
        #expect(limited.headers() == [.contentType: "application/json", .retryAfter: "30"])
        #expect(RegistryError(.unknown, message: "", retryAfterSeconds: -5).headers()[.retryAfter] == "0")
        let refused = RegistryError(.unsupported, status: 405, message: "", allowedMethods: [.get, .head])
        #expect(refused.status == 405)
        #expect(refused.headers() == [.contentType: "application/json", .allow: "GET, HEAD"])
        #expect("\(refused)" == "405 UNSUPPORTED: ")
    }
}
