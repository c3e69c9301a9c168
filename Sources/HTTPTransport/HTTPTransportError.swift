// SPDX-License-Identifier: Apache-2.0

/// Why a request got no answer, or not all of it. Names host and reason; never credentials, paths or query strings.
package struct HTTPTransportError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String {
            case dns, connectRefused, connectTimeout, tls, addressRefused, firstByteTimeout, idleTimeout, totalTimeout
            case truncated, protocolError, bodyTooLarge, headerTooLarge, badURL, unsupportedScheme, shutdown, other
        }
        private let base: Base
        private init(_ base: Base) { self.base = base }

        /// The host's name has no address.
        package static let dns = Self(.dns)
        /// Nobody accepts connections there, or the connection broke before it was made.
        package static let connectRefused = Self(.connectRefused)
        package static let connectTimeout = Self(.connectTimeout)
        /// The certificate isn't trusted, or TLS failed.
        package static let tls = Self(.tls)
        /// The address policy forbids the address.
        package static let addressRefused = Self(.addressRefused)
        /// The request was sent, and no response head came in time.
        package static let firstByteTimeout = Self(.firstByteTimeout)
        /// No byte moved for too long.
        package static let idleTimeout = Self(.idleTimeout)
        package static let totalTimeout = Self(.totalTimeout)
        /// The body ended before its end.
        package static let truncated = Self(.truncated)
        /// What came isn't HTTP, or nothing came.
        package static let protocolError = Self(.protocolError)
        /// The body is larger than the caller takes.
        package static let bodyTooLarge = Self(.bodyTooLarge)
        package static let headerTooLarge = Self(.headerTooLarge)
        package static let badURL = Self(.badURL)
        package static let unsupportedScheme = Self(.unsupportedScheme)
        /// The transport was shut down.
        package static let shutdown = Self(.shutdown)
        package static let other = Self(.other)

        package var description: String { base.rawValue }
    }

    package let code: Code
    package let message: String
    package let file: String
    package let line: Int

    init(_ code: Code, _ message: String, file: String = #fileID, line: Int = #line) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    package var description: String { "\(code): \(message)" }

    /// Whether the same request may succeed a moment later.
    package var isTemporary: Bool {
        ![.addressRefused, .bodyTooLarge, .headerTooLarge, .badURL, .unsupportedScheme, .shutdown].contains(code)
    }
}
