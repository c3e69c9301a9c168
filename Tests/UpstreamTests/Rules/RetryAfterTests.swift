// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Upstream

@Suite("Retry-After")
struct RetryAfterTests {
    /// Tue, 15 Nov 1994 12:45:26 GMT.
    private let now = Date(timeIntervalSince1970: 784_903_526)

    @Test(
        "seconds are taken as they are, at most a day",
        arguments: [
            ("0", 0), ("1", 1), ("120", 120), ("007", 7), ("86400", 86_400), ("86401", 86_400),
            ("9223372036854775807", 86_400), ("99999999999999999999999", 86_400),
        ]
    )
    func seconds(_ value: String, _ expected: Int) {
        #expect(RetryAfter.seconds(value, now: now) == expected)
    }

    @Test(
        "a date is so many seconds away, none when it is past, at most a day",
        arguments: [
            ("Tue, 15 Nov 1994 12:45:26 GMT", 0), ("Tue, 15 Nov 1994 12:45:27 GMT", 1),
            ("Tue, 15 Nov 1994 12:50:26 GMT", 300), ("Wed, 16 Nov 1994 12:45:26 GMT", 86_400),
            ("Thu, 17 Nov 1994 12:45:26 GMT", 86_400), ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
            ("Tue, 15 Nov 1994 12:45:25 GMT", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ]
    )
    func dates(_ value: String, _ expected: Int) {
        #expect(RetryAfter.seconds(value, now: now) == expected)
    }

    @Test("a part of a second is waited for")
    func fraction() {
        #expect(RetryAfter.seconds("Tue, 15 Nov 1994 12:45:27 GMT", now: now.addingTimeInterval(0.2)) == 1)
    }

    @Test("without a clock it is the time of now that counts")
    func systemTime() {
        #expect(RetryAfter.seconds("30") == 30)
        #expect(RetryAfter.seconds("Tue, 15 Nov 1994 12:45:26 GMT") == 0)
    }

    @Test(
        "what is neither says nothing",
        arguments: [
            "", " ", "-1", "+5", "1.5", "5s", "0x10", "1e3", "soon", "tomorrow", "\u{663}", "1994-11-15T12:45:26Z",
            "Tue, 15 Nov 1994 12:45:26 CET", "Tue, 99 Nov 1994 12:45:26 GMT",
            "Tue, 15 Nov 1994 25:45:26 GMT", "Die, 15 Nov 1994 12:45:26 GMT",
        ]
    )
    func neither(_ value: String) {
        #expect(RetryAfter.seconds(value, now: now) == nil)
    }
}
