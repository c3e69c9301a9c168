// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTPTypesHTTP1

/// Asks for a part of a file to be sent as body bytes of the response that is being written.
struct SendFileRegion: Sendable {
    let region: FileRegion
    /// Counts the bytes that have gone.
    let sent: SentBytes
    /// How long the client may take no byte before its connection is closed; a quarter more at the most.
    let deadline: Duration
}

/// Sends file regions without copying them through the process (`sendfile`).
///
/// The codec above HTTP/1 speaks in buffers only. This handler sits on its near side, takes the region as a user event,
/// and writes it from the codec's place in the pipeline, so that it reaches the encoder as a body part. The response
/// must have declared its length.
final class FileRegionHandler: ChannelOutboundHandler, RemovableChannelHandler, Sendable {
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext,
        event: Any,
        promise: EventLoopPromise<Void>?
    ) {
        guard let event = event as? SendFileRegion else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        do {
            let codec = try context.pipeline.syncOperations.context(handlerType: HTTP1ToHTTPServerCodec.self)
            // A socket that took a part is full: NIO would ask it once more, only to be told so.
            try context.channel.syncOptions?.setOption(.writeSpin, value: 0)
            RegionTransfer(event, through: codec, promise: promise).begin()
        } catch {
            promise?.fail(error)
        }
    }
}
