// SPDX-License-Identifier: Apache-2.0

import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// A connection whose requests are answered on the event loop that reads and writes it: on the way from one thread to
/// another and back, a small answer would spend as much as on everything else. What takes long has queues of its own: files
/// go out by `sendfile`, statements wait on their connections' queues, passwords are hashed on theirs.
struct RegistryChannel: ServerChildChannel {
    let http1: HTTP1Channel
    let responder: RegistryResponder

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        http1.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let codec = try pipeline.handler(type: HTTP1ToHTTPServerCodec.self)
            try pipeline.addHandler(HTTP1Rules(), position: .before(codec))
            // That one counts requests, for idle connections and for shutdowns: it sees ours, too.
            let counting = try pipeline.handler(type: HTTPConnectionStateHandler.self)
            try pipeline.addHandler(handler(on: channel.eventLoop), position: .after(counting))
            return value
        }
    }

    func handler(on eventLoop: any EventLoop) -> RegistryHandler {
        RegistryHandler(responder, executor: EventLoopTaskExecutor(eventLoop))
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        let channel = value.channel
        await withTaskCancellationHandler {
            await withTaskExecutorPreference(EventLoopTaskExecutor(channel.eventLoop)) {
                await http1.handle(value: value, logger: logger)
            }
        } onCancel: {
            // With it end the tasks of the handler, which are nobody's children.
            channel.close(promise: nil)
        }
    }
}

/// Runs a task's steps on an event loop.
final class EventLoopTaskExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
