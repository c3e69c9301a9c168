// SPDX-License-Identifier: Apache-2.0

/// Takes a response without copying it. Called on the transport's own thread, in order, never twice at once: a sink that
/// blocks holds up every other transfer of the same transport.
package protocol ResponseSink: AnyObject, Sendable {
    /// Once per response, before its first byte. Throwing ends the transfer; the error reaches the caller unchanged.
    func begin(_ head: HTTPTransportHead) throws
    /// Bytes straight from the receive buffer, valid during the call. Throwing ends the transfer likewise.
    func write(_ bytes: UnsafeRawBufferPointer) throws
}
