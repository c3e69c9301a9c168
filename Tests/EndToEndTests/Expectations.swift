// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

/// The whole of `bytes` was served, and came to its end.
func expectServed(
    _ answer: TestClient.Answer,
    _ bytes: [UInt8],
    _ comment: Comment? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(answer.status == 200, comment, sourceLocation: sourceLocation)
    #expect(answer.failure == nil, comment, sourceLocation: sourceLocation)
    #expect(answer.body == bytes, comment, sourceLocation: sourceLocation)
}
