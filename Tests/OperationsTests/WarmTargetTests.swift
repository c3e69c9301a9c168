// SPDX-License-Identifier: Apache-2.0

import Models
import Operations
import Testing

@Suite struct WarmTargetTests {
    private static let digest = "sha256:" + String(repeating: "a", count: 64)

    @Test(
        "an image is read as clients write it; a digest wins over a tag, and latest stands for neither",
        arguments: [
            ("hub/alpine", "hub/alpine:latest"), ("hub/library/alpine:3.20", "hub/library/alpine:3.20"),
            ("hub/alpine@\(digest)", "hub/alpine@\(digest)"), ("hub/alpine:3@\(digest)", "hub/alpine@\(digest)"),
        ]
    )
    func reading(_ text: String, _ read: String) throws { #expect(try WarmTarget(text).description == read) }

    @Test(
        "anything else is refused with its own words",
        arguments: ["", "hub", "hub/", "/alpine", "hub/Alpine", "hub/alpine:", "hub/alpine:a b", "hub/alpine@sha256:0"]
    )
    func refusing(_ text: String) {
        let error = #expect(throws: ModelError.self) { try WarmTarget(text) }
        #expect(error?.message.isEmpty == false)
    }
}
