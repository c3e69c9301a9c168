// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// What an upstream does wrong.
package struct Fault: Sendable {
    package enum Action: Sendable {
        /// Answers this instead.
        case answer(Int, HTTPFields, [UInt8])
        /// Sends so many body bytes, then ends the connection; `reset` by RST.
        case truncate(after: Int64, reset: Bool)
        /// Flips the bits of the body byte at the offset.
        case corrupt(at: Int64)
        /// Sends so many body bytes, then nothing until the gate opens.
        case stall(after: Int64, Gate)
        /// Sends one body byte at a time, so far apart.
        case drip(Duration)
        /// Waits for the gate before anything is sent.
        case hold(Gate)
        case redirect(String, status: Int)
        case removeHeader(HTTPField.Name)
        case setHeader(HTTPField.Name, String)
        /// Adds to the declared length.
        case lieAboutLength(by: Int64)
        /// Declares no length.
        case chunked
        case ignoreRange
    }

    /// Method and path, of which it must be a part: `GET /v2/`, `/blobs/`.
    package let match: String
    package let action: Action
    /// How often it strikes; nil for always.
    package var times: Int?

    package init(_ match: String, _ action: Action, times: Int? = nil) {
        self.match = match
        self.action = action
        self.times = times
    }
}
