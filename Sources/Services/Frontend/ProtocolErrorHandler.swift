// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import OCI

/// Answers what isn't HTTP, or has more header than we read, with an OCI error, and closes the connection.
final class ProtocolErrorHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundOut = HTTPResponsePart

    private var isAnswering = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: isAnswering = true
        case .body, .end: break
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError || error is NIOHTTPDecoderError else { return context.fireErrorCaught(error) }
        // In the middle of an exchange another answer would be taken for that one's.
        guard !isAnswering else { return context.close(promise: nil) }
        let isTooLarge = "\(error)".lowercased().contains("overflow") || error is NIOHTTPDecoderError
        let refusal = RegistryError(
            .unsupported,
            status: isTooLarge ? 431 : 400,
            message: isTooLarge ? "the request's header is too large" : "the request isn't HTTP that we understand"
        )
        var response = HTTPResponse(status: .init(code: refusal.status), headerFields: refusal.headers())
        let body = refusal.body
        response.headerFields[.contentLength] = String(body.count)
        response.headerFields[.connection] = "close"
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(bytes: body))), promise: nil)
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.value.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            context.value.close(promise: nil)
        }
    }
}
