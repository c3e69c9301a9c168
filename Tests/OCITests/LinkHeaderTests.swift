// SPDX-License-Identifier: Apache-2.0

import OCI
import Testing

@Suite struct LinkHeaderTests {
    @Test(
        "the next page is found among links and parameters",
        arguments: [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", "/v2/a/tags/list?n=2&last=b"),
            ("<x>;rel=next", "x"), ("<x> ; REL = \"Next\"", "x"), ("<x>; rel=\"prev next\"", "x"),
            ("<a>; rel=prev, <b>; rel=next", "b"), ("<a,b;c>; title=\"; rel=prev, <z>\"; rel=next", "a,b;c"),
            ("<https://host/x?last=%2C>; rel=\"next\"; foo", "https://host/x?last=%2C"),
            ("<a>; rel=next, <b>; rel=next", "a"), ("<>; rel=next, <b>; rel=next", "b"),
            ("<a\u{1}>; rel=next, <b>; rel=next", "b"),
            ("<a>; rel=prev; rel=next", nil), ("<a>", nil), ("<a>; rel=\"nextish\"", nil), ("", nil),
            ("a; rel=next", nil),
            ("<a; rel=next", nil), ("<a>; title=\"rel=next\"", nil), ("<a>; rel", nil), ("<a>, rel=next", nil),
            ("<\(String(repeating: "a", count: 9_000))>; rel=next", nil),
        ] as [(String, String?)]
    )
    func parsed(_ header: String, _ expected: String?) {
        #expect(LinkHeader.nextTarget(in: header) == expected)
    }

    @Test("what is rendered is read back, and nothing breaks out of the brackets")
    func rendered() {
        #expect(LinkHeader.render(next: "/v2/a/tags/list?n=2") == "</v2/a/tags/list?n=2>; rel=\"next\"")
        let hostile = LinkHeader.render(next: "/a>; rel=prev, <\r\n\"é")
        #expect(hostile == "</a%3E;%20rel=prev,%20%3C%0D%0A%22%C3%A9>; rel=\"next\"")
        #expect(LinkHeader.nextTarget(in: hostile) == "/a%3E;%20rel=prev,%20%3C%0D%0A%22%C3%A9")
    }
}
