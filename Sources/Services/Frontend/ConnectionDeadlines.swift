// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOTLS

/// Closes a TLS connection that nothing else would: one whose client doesn't come to the end of its handshake, or says nothing
/// after it. One that has spoken is its protocol's: a client that reads far ahead may wait for long without a byte.
final class ConnectionDeadlines: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private static let handshakePatience: TimeAmount = .seconds(10)

    /// Nil once the handshake is done.
    private var handshake: Scheduled<Void>?
    private var hasSpoken = false

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        handshake = context.eventLoop.scheduleTask(in: Self.handshakePatience) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { handshake?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hasSpoken = true
        context.fireChannelRead(data)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case .handshakeCompleted as TLSUserEvent:
            handshake?.cancel()
            handshake = nil
        case is IdleStateHandler.IdleStateEvent:
            if !hasSpoken { context.close(promise: nil) }
            return
        case is ChannelShouldQuiesceEvent where handshake != nil:
            // Those that take care of it come with the protocol, after the handshake.
            return context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }
}
