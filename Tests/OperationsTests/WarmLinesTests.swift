// SPDX-License-Identifier: Apache-2.0

import OCI
import Operations
import Testing

@Suite struct WarmLinesTests {
    private static func item(_ state: WarmItem.State, stored: Int64 = 0, rate: Int64 = 0) -> WarmItem {
        let digest = OCI.Digest.of(Array("layer".utf8), algorithm: .sha256)
        var item = WarmItem(image: "hub/a:1", kind: .layer, digest: digest, sizeBytes: 2_000_000)
        item.state = state
        item.storedBytes = stored
        item.bytesPerSecond = rate
        return item
    }

    @Test("a bar is as full as the blob, and no line is wider than the screen")
    func bars() {
        let line = WarmLines.progress(Self.item(.arriving, stored: 500_000, rate: 250_000), width: 120)
        #expect(line.hasSuffix("[######..................] 500.0 kB of 2.0 MB, 250.0 kB/s"), "\(line)")
        #expect(WarmLines.progress(Self.item(.waiting), width: 120).contains("[........................] 0 B of"))
        #expect(WarmLines.progress(Self.item(.arriving, stored: 9_000_000), width: 120).contains("[########"))
        #expect(WarmLines.progress(Self.item(.arriving), width: 30).count == 30)
    }

    @Test("each end has its words")
    func ends() {
        #expect(WarmLines.end(Self.item(.fetched)).hasSuffix("fetched, 2.0 MB"))
        #expect(WarmLines.end(Self.item(.present)).hasSuffix("was here"))
        #expect(WarmLines.end(Self.item(.failed("no such thing"))).hasSuffix("failed: no such thing"))
    }

    @Test("a summary is one line, and one for each failure")
    func summaries() {
        var result = WarmResult(image: "hub/a:1")
        result.blobs = 3
        result.fetchedBlobs = 2
        result.fetchedBytes = 1_500
        result.seconds = 1.25
        result.failures = ["layer abc: gone"]
        #expect(
            WarmLines.summary(result) == [
                "hub/a:1: incomplete, 2 of 3 blobs fetched, 1.5 kB in 1.3 s", "hub/a:1: layer abc: gone",
            ]
        )
    }
}
