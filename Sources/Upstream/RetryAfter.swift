// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Models

/// `Retry-After`: seconds or an HTTP date (RFC 9110 section 10.2.3).
enum RetryAfter {
    private static let maximumSeconds = 86_400

    /// Seconds from now, at most a day. Nil when the value is neither form.
    static func seconds(_ value: String) -> Int? { seconds(value, now: Date()) }

    static func seconds(_ value: String, now: Date) -> Int? {
        if !value.isEmpty, value.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            return min(Int(value) ?? maximumSeconds, maximumSeconds)  // more than an Int holds is more than a day
        }
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        guard let date = formatter.date(from: value) else { return nil }
        return min(max(0, Int(date.timeIntervalSince(now).rounded(.up))), maximumSeconds)
    }
}

extension RateLimit {
    /// What a response's header says of the limit, in the words of Docker Hub and the IETF draft.
    init?(_ headers: HTTPFields) {
        self.init(limit: headers[.rateLimitLimit], remaining: headers[.rateLimitRemaining])
    }
}
