// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOTLS

/// Closes a TLS connection that nothing else would: one whose client doesn't come to the end of its handshake, and one
/// that is silent for longer than any answer takes, such as one of HTTP/2 whose client never says that it is there.
final class ConnectionDeadlines: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private static let handshakePatience: TimeAmount = .seconds(10)

    /// Nil once the handshake is done.
    private var handshake: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        handshake = context.eventLoop.scheduleTask(in: Self.handshakePatience) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { handshake?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case .handshakeCompleted as TLSUserEvent:
            handshake?.cancel()
            handshake = nil
        case is IdleStateHandler.IdleStateEvent:
            return context.close(promise: nil)
        case is ChannelShouldQuiesceEvent where handshake != nil:
            // Those that take care of it come with the protocol, after the handshake.
            return context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }
}
