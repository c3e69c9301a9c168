// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Answers what a registry is asked most, requests without a body, where they arrive: a task per request, on the
/// connection's event loop. What it doesn't take goes on to the server above.
///
/// Requests of a connection have turns: the next one begins when the answer of the one before is written (RFC 9112 section
/// 9.3.2). Until then it waits here, and no more is read.
final class RegistryHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private enum Turn {
        case nobody
        case ours(HTTPRequest)
        /// Of the server above.
        case theirs
    }

    private let responder: RegistryResponder
    private let executor: EventLoopTaskExecutor
    private var turn = Turn.nobody
    /// The request whose turn it is has come in whole.
    private var isRead = false
    /// Its answer has gone out whole.
    private var isAnswered = false
    private var task: Task<Void, Never>?
    /// Parts of the requests whose turn comes later.
    private var waiting = CircularBuffer<HTTPRequestPart>()
    private var isReadWanted = false
    /// The client will send no more; the server above isn't told before we are done, as it would close the connection.
    private var isInputClosed = false

    /// A request has come in whole, and its answer has not gone out.
    private var isBusy: Bool {
        if case .nobody = turn { return false }
        return isRead
    }

    init(_ responder: RegistryResponder, executor: EventLoopTaskExecutor) {
        self.responder = responder
        self.executor = executor
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        guard waiting.isEmpty, take(part, context) else { return waiting.append(part) }
    }

    /// False for the beginning of a request whose turn it isn't yet.
    private func take(_ part: HTTPRequestPart, _ context: ChannelHandlerContext) -> Bool {
        if case .head(let head) = part {
            guard case .nobody = turn else { return false }
            (isRead, isAnswered) = (false, false)
            // A client that waits with its body is answered at once, or told to go on (RFC 9110 section 10.1.1).
            let isExpecting = head.headerFields[.expect] != nil
            turn = responder.isOurs(head) && !isExpecting ? .ours(head) : .theirs
            if isExpecting, responder.readsBody(head) {
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
            }
        }
        if case .end = part { isRead = true }
        switch turn {
        case .nobody: break
        case .theirs:
            context.fireChannelRead(wrapInboundOut(part))
            endTurn(context)
        case .ours(let head):
            // Nothing that we take has a body that says anything.
            if isRead { answer(head, context) }
        }
        return true
    }

    private func answer(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        let request = Request(head: head, body: RequestBody(buffer: ByteBuffer()))
        let (loop, channel) = (context.eventLoop, context.channel)
        let (handler, bound) = (NIOLoopBound(self, eventLoop: loop), NIOLoopBound(context, eventLoop: loop))
        // Nobody's child, as a handler has no task: it ends with its connection.
        task = Task(executorPreference: executor) {
            // Reached through the handler: a copy of the responder in each task would cost more than its smaller steps.
            let exchange = await handler.value.responder.answer(request, on: channel)
            var failure: (any Error)?
            do {
                try await handler.value.write(exchange.reply, isHead: request.method == .head, bound)
            } catch {
                failure = error
            }
            // Before the end of the answer, after which a shutdown doesn't wait for us.
            handler.value.responder.end(exchange, failure: failure)
            handler.value.end(failure, bound.value)
        }
    }

    /// All but the end.
    private func write(_ reply: Reply, isHead: Bool, _ context: NIOLoopBound<ChannelHandlerContext>) async throws {
        context.value.write(wrapOutboundOut(.head(reply.head)), promise: nil)
        guard !isHead else { return }
        switch reply.body {
        case .none: break
        case .bytes(let bytes): context.value.write(wrapOutboundOut(.body(ByteBuffer(bytes: bytes))), promise: nil)
        case .blob(let blob):
            context.value.flush()
            var writer: any ResponseBodyWriter = BodyWriter(context: context)
            try await blob.write(to: &writer, on: context.value.channel)
        }
    }

    /// Throwing after the head has gone out cuts the connection: the only way to tell a client that the rest won't come.
    private func end(_ failure: (any Error)?, _ context: ChannelHandlerContext) {
        task = nil
        guard failure == nil else { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        isAnswered = true
        endTurn(context)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        context.write(data, promise: promise)
        if case .end = part {
            isAnswered = true
            endTurn(context)
        }
    }

    /// Begins the next turn when this one is over, and the client takes what it has asked for.
    private func endTurn(_ context: ChannelHandlerContext) {
        guard isRead, isAnswered, context.channel.isWritable else { return }
        if case .nobody = turn { return }
        turn = .nobody
        var isPassed = false
        while let part = waiting.popFirst() {
            guard take(part, context) else {
                waiting.prepend(part)
                break
            }
            if case .theirs = turn { isPassed = true }
        }
        if isPassed { context.fireChannelReadComplete() }
        if isInputClosed, waiting.isEmpty, !isBusy {
            isInputClosed = false
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
        // Also for the rest of a request whose turn has just begun.
        if isReadWanted, waiting.isEmpty {
            isReadWanted = false
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        endTurn(context)
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        // What waits is enough.
        if waiting.isEmpty { context.read() } else { isReadWanted = true }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isBusy, case .inputClosed? = event as? ChannelEvent {
            isInputClosed = true
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        task?.cancel()
        context.fireChannelInactive()
    }
}

/// Sends a body's bytes, each piece when the one before is on its way to the client.
private struct BodyWriter: ResponseBodyWriter {
    let context: NIOLoopBound<ChannelHandlerContext>

    func write(_ buffer: ByteBuffer) async throws {
        try await context.value.writeAndFlush(NIOAny(HTTPResponsePart.body(buffer))).get()
    }

    /// The end is the handler's.
    func finish(_ trailingHeaders: HTTPFields?) {}
}
