// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import OCI
import Testing

@Suite struct DigestTests {
    @Test("both registered algorithms are read and written back")
    func valid() throws {
        let short = try Digest(Samples.zeros)
        #expect(short.algorithm == .sha256)
        #expect(short.hex == String(repeating: "0", count: 64))
        #expect(short.description == Samples.zeros)
        let long = try Digest(Samples.long)
        #expect(long.algorithm == .sha512)
        #expect(long.hex == String(repeating: "a", count: 128))
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", ":", "sha256", "sha256:", "sha256:00", Samples.zeros + "0", String(Samples.zeros.dropLast()),
            "SHA256:" + String(repeating: "0", count: 64), "sha256:" + String(repeating: "A", count: 64),
            "sha256:" + String(repeating: "g", count: 64), "sha1:" + String(repeating: "0", count: 40),
            "sha512:" + String(repeating: "0", count: 64), "sha256:../../" + String(repeating: "0", count: 58),
            " " + Samples.zeros, Samples.zeros + "\n", "sha256:" + String(repeating: "٣", count: 64),
            "sha256:sha256:" + String(repeating: "0", count: 57), "md5:" + String(repeating: "0", count: 32),
        ]
    )
    func invalid(_ text: String) {
        #expect(ociError { () throws(OCIError) in _ = try Digest(text) }?.code == .invalidDigest)
        #expect(Digest(rawValue: text) == nil)
    }

    @Test("known answers of SHA-256 and SHA-512 come out")
    func knownAnswers() {
        #expect(
            Digest.of([]).rawValue == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        )
        #expect(
            Digest.of("{}".utf8).rawValue == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        )
        #expect(
            Digest.of("abc".utf8, algorithm: .sha512).rawValue
                == "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        )
    }

    @Test("bytes that are not stored together hash the same as those that are")
    func scatteredBytes() {
        let bytes = Array("scattered".utf8)
        #expect(Digest.of(bytes.reversed().reversed().lazy.map { $0 }) == Digest.of(bytes))
        #expect(Digest.of(sequence(first: UInt8(0)) { $0 < 9 ? $0 + 1 : nil }) == Digest.of(Array(0...9)))
    }

    @Test("hashing in pieces equals hashing at once, for both algorithms", arguments: Digest.Algorithm.allCases)
    func pieces(_ algorithm: Digest.Algorithm) {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var hasher = DigestHasher(algorithm)
        for start in stride(from: 0, to: bytes.count, by: 777) {
            let piece = bytes[start..<min(start + 777, bytes.count)]
            if start.isMultiple(of: 2) {
                hasher.update(Array(piece))
            } else {
                piece.withUnsafeBytes { hasher.update($0) }
            }
        }
        #expect(hasher.finalize() == Digest.of(bytes, algorithm: algorithm))
    }

    @Test("a hasher goes on after finalize, and a copy goes its own way")
    func copies() {
        var hasher = DigestHasher()
        hasher.update(Array("a".utf8))
        #expect(hasher.finalize() == Digest.of("a".utf8))
        var copy = hasher
        copy.update(Array("b".utf8))
        hasher.update(Array("c".utf8))
        #expect(copy.finalize() == Digest.of("ab".utf8))
        #expect(hasher.finalize() == Digest.of("ac".utf8))
    }

    @Test("a digest is coded as one string, and a bad one is not decoded")
    func coding() throws {
        let digest = try Digest(Samples.zeros)
        #expect(String(decoding: try JSONEncoder().encode([digest]), as: UTF8.self) == #"["\#(Samples.zeros)"]"#)
        #expect(try JSONDecoder().decode([Digest].self, from: Data(#"["\#(Samples.zeros)"]"#.utf8)) == [digest])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([Digest].self, from: Data(#"["sha256:00"]"#.utf8))
        }
    }
}
