// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1
import OCI

/// What HTTP/1 alone asks of a server: that a connection ends when it has to, and that what isn't HTTP, has more header
/// than we read or doesn't say its host is refused with an OCI error, after the answers that are due before it.
///
/// It sits below the codec, which knows neither versions nor fields that came twice.
final class HTTP1Rules: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private struct Refusal {
        let error: RegistryError
        var isHead = false
    }

    /// Requests whose answers haven't gone out whole.
    private var unanswered = 0
    /// The last request hasn't come in whole.
    private var isReading = false
    /// Its client waits for our word before it sends the body.
    private var isExpecting = false
    /// It came by HTTP/1.0, where connections end unless both sides say that they don't.
    private var isOld = false
    /// No request follows it.
    private var isEnding = false
    /// Nothing more is read.
    private var isOver = false
    /// The last answer has gone out whole.
    private var isGone = false
    /// What remains to be said when the answers that are due have gone out.
    private var refusal: Refusal?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var data = data
        switch unwrapInboundIn(data) {
        case .head(var head):
            if let refusal = begin(head) { return refuse(refusal, context) }
            if isOld {
                // RFC 9110 section 10.1.1: such a client doesn't know what to make of a 100.
                head.headers.remove(name: "Expect")
                data = wrapInboundOut(.head(head))
            }
        case .body:
            isExpecting = false
        case .end:
            (isReading, isExpecting) = (false, false)
            isOver = isEnding
        }
        context.fireChannelRead(data)
        if isOver, isGone { context.close(promise: nil) }
    }

    /// - Returns: why the request isn't taken; nil for one that is
    private func begin(_ head: HTTPRequestHead) -> Refusal? {
        let isOld = head.version == .http1_0
        // After these the decoder takes what follows for another protocol, and reads none of it.
        var isLast = !head.isKeepAlive || head.method == .CONNECT
        var isExpecting = false
        var hosts = 0
        for (name, value) in head.headers {
            switch name.utf8.count {
            case 4 where name.lowercased() == "host": hosts += 1
            case 6 where name.lowercased() == "expect": isExpecting = !isOld
            case 7 where name.lowercased() == "upgrade": isLast = true
            // RFC 9112 section 9.3: "close" counts before "keep-alive", which alone is looked for in HTTP/1.0.
            case 10 where isOld && name.lowercased() == "connection": isLast = isLast || Self.saysClose(value)
            default: break
            }
        }
        // RFC 9112 section 3.2.
        guard hosts == 1 || (hosts == 0 && isOld) else {
            let error = RegistryError(.unsupported, message: "a request has one Host, this one has \(hosts)")
            return Refusal(error: error, isHead: head.method == .HEAD)
        }
        (self.isOld, isEnding, self.isExpecting) = (isOld, isLast, isExpecting)
        unanswered += 1
        isReading = true
        return nil
    }

    private static func saysClose(_ connection: String) -> Bool {
        connection.lowercased().split(separator: ",").contains { $0.trimmingBlanks() == "close" }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError || error is ByteToMessageDecoderError else {
            return context.fireErrorCaught(error)
        }
        guard !isOver else { return }
        // In the middle of a request another answer would be taken for that one's.
        guard !isReading else { return context.close(promise: nil) }
        let isTooLarge = error as? HTTPParserError == .headerOverflow
        let refusal = RegistryError(
            .unsupported,
            status: isTooLarge ? 431 : 400,
            message: isTooLarge ? "the request's header is too large" : "the request isn't HTTP that we understand"
        )
        refuse(Refusal(error: refusal), context)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head) where head.status.code < 200:
            isExpecting = false
            context.write(data, promise: promise)
        case .head(var head) where unanswered == 1:
            // Its body may come or not, so that nobody could tell where the next request begins.
            if isExpecting { isEnding = true }
            guard isEnding || isOld else { return context.write(data, promise: promise) }
            head.headers.replaceOrAdd(name: "Connection", value: isEnding ? "close" : "keep-alive")
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .head, .body:
            context.write(data, promise: promise)
        case .end:
            unanswered -= 1
            if unanswered == 0, let refusal {
                context.write(data, promise: promise)
                send(refusal, context)
            } else if unanswered == 0, isEnding {
                let gone = context.eventLoop.makePromise(of: Void.self)
                gone.futureResult.cascade(to: promise)
                gone.futureResult.assumeIsolated().whenComplete { _ in
                    self.isGone = true
                    // Closed before all of the request is read, the client may lose the answer (RFC 9112 section 9.6).
                    context.close(mode: self.isOver ? .all : .output, promise: nil)
                }
                context.write(data, promise: gone)
            } else {
                context.write(data, promise: promise)
            }
        }
    }

    private func refuse(_ refusal: Refusal, _ context: ChannelHandlerContext) {
        isOver = true
        if unanswered == 0 { send(refusal, context) } else { self.refusal = refusal }
    }

    private func send(_ refusal: Refusal, _ context: ChannelHandlerContext) {
        let body = refusal.error.body
        var headers = HTTPHeaders(refusal.error.headers())
        headers.add(name: "Content-Length", value: String(body.count))
        headers.add(name: "Connection", value: "close")
        let head = HTTPResponseHead(
            version: .http1_1,
            status: HTTPResponseStatus(statusCode: refusal.error.status),
            headers: headers
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !refusal.isHead {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }
}
