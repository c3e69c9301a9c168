// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct ByteRangeTests {
    private static func slices(_ pairs: (Int64, Int64)...) -> RangeResolution {
        .satisfiable(pairs.map { ByteSlice(offset: $0.0, length: $0.1) })
    }

    @Test(
        "ranges of a representation of 2,048 bytes",
        arguments: [
            ("bytes=500-1499", slices((500, 1000))), ("bytes=500-", slices((500, 1548))),
            ("bytes=-500", slices((1548, 500))), ("bytes=2000-5000", slices((2000, 48))),
            ("bytes=0-", slices((0, 2048))), ("bytes=0-0", slices((0, 1))), ("bytes=-1", slices((2047, 1))),
            ("bytes=2047-2047", slices((2047, 1))), ("bytes=-99999", slices((0, 2048))),
            ("bytes=500-0", .unsatisfiable), ("bytes=5000-10000", .unsatisfiable), ("bytes=2048-", .unsatisfiable),
            ("bytes=-0", .unsatisfiable), ("bytes=0-1,500-0", .unsatisfiable),
            ("bytes=0-99999999999999999999", slices((0, 2048))), ("bytes=99999999999999999999-", .unsatisfiable),
            ("bytes=9223372036854775807-9223372036854775807", .unsatisfiable),
            ("bytes=-99999999999999999999", slices((0, 2048))),
            ("BYTES = 0-1", slices((0, 2))), (" bytes=0-1 ", slices((0, 2))),
            ("bytes=0-1 , 4-5", slices((0, 2), (4, 2))),
            ("bytes=,,0-1,,", slices((0, 2))), ("bytes=4-5,0-1", slices((4, 2), (0, 2))),
            ("bytes=0-1,5000-", slices((0, 2))), ("bytes=0-1,-0", slices((0, 2))),
            ("bytes=0-9,5-14", slices((0, 10), (5, 10))), ("bytes=0-,0-", .whole), ("bytes=0-2046,-2", .whole),
            ("bytes=0-2046,-1", slices((0, 2047), (2047, 1))),
            ("", .whole), ("bytes", .whole), ("bytes=", .whole), ("bytes=,", .whole), ("bytes=-", .whole),
            ("bytes=a-b", .whole), ("bytes=1", .whole), ("bytes=1-2-3", .whole), ("bytes=--1", .whole),
            ("bytes=1 -2", .whole), ("bytes=+1-2", .whole), ("bytes=0-1;2-3", .whole), ("items=0-1", .whole),
            ("bytes:0-1", .whole), ("bytes=٣-٤", .whole), ("bytes=0x1-2", .whole), ("bytes=0-1,x", .whole),
        ] as [(String, RangeResolution)]
    )
    func table(_ header: String, _ expected: RangeResolution) {
        #expect(ByteRange.resolve(header: header, size: 2048) == expected)
    }

    @Test("no header means everything")
    func absent() {
        #expect(ByteRange.resolve(header: nil, size: 2048) == .whole)
    }

    @Test(
        "an empty representation is always served whole",
        arguments: ["bytes=0-", "bytes=-1", "bytes=5-0", "bytes=0-0"]
    )
    func empty(_ header: String) {
        #expect(ByteRange.resolve(header: header, size: 0) == .whole)
    }

    @Test("sixteen ranges are honoured, seventeen are ignored")
    func count() {
        func header(_ count: Int) -> String { "bytes=" + (0..<count).map { "\($0)-\($0)" }.joined(separator: ",") }
        guard case .satisfiable(let slices) = ByteRange.resolve(header: header(16), size: 100) else {
            Issue.record("sixteen ranges were not honoured")
            return
        }
        #expect(slices.map(\.offset) == Array(0..<16))
        #expect(ByteRange.resolve(header: header(17), size: 100) == .whole)
    }

    @Test("the largest representation that can be does not overflow")
    func largest() {
        let size = Int64.max
        #expect(ByteRange.resolve(header: "bytes=0-", size: size) == Self.slices((0, size)))
        #expect(ByteRange.resolve(header: "bytes=-\(size)", size: size) == Self.slices((0, size)))
        #expect(ByteRange.resolve(header: "bytes=1-,0-0", size: size) == Self.slices((1, size - 1), (0, 1)))
        #expect(ByteRange.resolve(header: "bytes=0-,0-", size: size) == .whole)
        #expect(ByteRange.resolve(header: "bytes=0-0", size: -1) == .whole)
    }

    @Test("Content-Range is written for slices and for 416")
    func contentRange() {
        #expect(ByteSlice(offset: 500, length: 1000).contentRange(size: 2048) == "bytes 500-1499/2048")
        #expect(ByteRange.unsatisfiedContentRange(size: 2048) == "bytes */2048")
        #expect(ByteSlice(offset: .max, length: .max).contentRange(size: .max).hasPrefix("bytes 9223372036854775807-"))
    }

    @Test("a multipart body is as long as it says and framed as the RFC asks")
    func multipart() throws {
        let content = (0..<100).map { UInt8($0 + 20) }
        let framing = MultipartByteRanges(
            boundary: "b-1_X",
            slices: [ByteSlice(offset: 10, length: 5), ByteSlice(offset: 0, length: 2)],
            size: 100,
            contentType: .octetStream
        )
        var body: [UInt8] = []
        for part in framing.parts {
            body += part.header
            body += content[Int(part.slice.offset)..<Int(part.slice.offset + part.slice.length)]
        }
        body += framing.closing
        #expect(Int64(body.count) == framing.contentLength)
        #expect(framing.contentTypeHeader == "multipart/byteranges; boundary=b-1_X")
        let head = "--b-1_X\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes "
        let expected =
            Array((head + "10-14/100\r\n\r\n").utf8) + content[10..<15]
            + Array(("\r\n" + head + "0-1/100\r\n\r\n").utf8) + content[0..<2] + Array("\r\n--b-1_X--\r\n".utf8)
        #expect(body == expected)
    }
}
