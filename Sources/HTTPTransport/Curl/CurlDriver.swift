// SPDX-License-Identifier: Apache-2.0

import Addresses
import CCurl
import Foundation
import Logging
import Synchronization

/// Runs a curl multi handle on a thread of its own. Others talk to it through a mailbox.
///
/// `@unchecked`: `transfers` and `gatherer` are touched on the thread only; the multi handle is used elsewhere only for
/// `curl_multi_wakeup`, the one call that curl allows from any thread.
final class CurlDriver: @unchecked Sendable {
    private enum Letter {
        case submit(Transfer)
        case cancel(UInt64)
        case resume(UInt64)
    }

    private struct Mailbox {
        var letters: [Letter] = []
        var isShutDown = false
        /// The thread is gone: there is no handle to wake any more.
        var isClosed = false
    }

    private static let isInitialized: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let configuration: HTTPTransportConfiguration
    private let logger: Logger
    private let multi: UnsafeMutableRawPointer
    private let mailbox = Mutex(Mailbox())
    private var transfers: [UInt64: Transfer] = [:]
    private let gatherer = PieceGatherer()
    private let clock = ContinuousClock()

    init(_ configuration: HTTPTransportConfiguration, logger: Logger) {
        precondition(Self.isInitialized, "libcurl can't be initialized")
        guard let multi = curl_multi_init() else { preconditionFailure("libcurl is out of memory") }
        self.configuration = configuration
        self.logger = logger
        self.multi = multi
        ccurl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.maximumConnectionsPerHost)
        ccurl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maximumConnections)
        ccurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maximumConnections)
        ccurl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    }

    func start() {
        let thread = Thread { [self] in run() }
        thread.name = "entrepot.curl"
        thread.start()
    }

    // MARK: - From any thread

    /// Hands over a transfer. A streamed body has to be pumped by the caller.
    func submit(_ transfer: Transfer) -> UploadPump? {
        if case .stream(let length, let next) = transfer.request.body {
            transfer.upload = UploadPump(transfer: transfer.id, length: length, driver: self, next: next)
        }
        if !post(.submit(transfer)) { transfer.finish(Self.shutdownError) }
        return transfer.upload
    }

    func cancel(_ id: UInt64) { _ = post(.cancel(id)) }

    func resume(_ id: UInt64) { _ = post(.resume(id)) }

    func shutdown() {
        mailbox.withLock { mailbox in
            mailbox.isShutDown = true
            if !mailbox.isClosed { curl_multi_wakeup(multi) }
        }
    }

    private func post(_ letter: Letter) -> Bool {
        mailbox.withLock { mailbox in
            guard !mailbox.isShutDown else { return false }
            mailbox.letters.append(letter)
            curl_multi_wakeup(multi)
            return true
        }
    }

    private static var shutdownError: HTTPTransportError {
        HTTPTransportError(.shutdown, "the transport was shut down")
    }

    // MARK: - On the thread

    private func run() {
        while true {
            let (letters, isShutDown) = mailbox.withLock { mailbox in
                defer { mailbox.letters = [] }
                return (mailbox.letters, mailbox.isShutDown)
            }
            for letter in letters { handle(letter) }
            if isShutDown { break }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            gatherer.flush()
            collect()
            let wait = enforceDeadlines()
            curl_multi_poll(multi, nil, 0, wait, nil)
        }
        for transfer in transfers.values { end(transfer, Self.shutdownError) }
        mailbox.withLock { $0.isClosed = true }
        curl_multi_cleanup(multi)
    }

    private func handle(_ letter: Letter) {
        switch letter {
        case .submit(let transfer):
            begin(transfer)
        case .cancel(let id):
            if let transfer = transfers[id] { end(transfer, CancellationError()) }
        case .resume(let id):
            guard let transfer = transfers[id], let easy = transfer.easy else { return }
            transfer.isPaused = false
            transfer.lastActivity = clock.now
            curl_easy_pause(easy.handle, CURLPAUSE_CONT)
        }
    }

    private func begin(_ transfer: Transfer) {
        do {
            let target = try RequestTarget(transfer.request.url)
            let isProxied = configuration.proxies.proxy(for: target) != nil
            transfer.host = target.host
            transfer.parser = HeadParser(maximumBytes: configuration.maximumHeaderBytes)
            // Through a proxy the address connected to is the operator's proxy; a literal target can still be judged.
            transfer.policy = isProxied ? nil : configuration.addressPolicy
            if isProxied, let literal = IPAddress(lenient: target.host),
                !configuration.addressPolicy.permits(address: literal, port: target.port, host: target.host)
            {
                throw HTTPTransportError(.addressRefused, "\(target.host) is an address that isn't allowed")
            }
            let easy = try EasyHandle(transfer, target, configuration)
            transfer.easy = easy
            transfer.gatherer = gatherer
            transfer.startedAt = clock.now
            transfer.lastActivity = transfer.startedAt
            transfers[transfer.id] = transfer
            let code = curl_multi_add_handle(multi, easy.handle)
            if code != CURLM_OK {
                end(transfer, HTTPTransportError(.other, String(cString: curl_multi_strerror(code))))
            }
        } catch {
            transfer.finish(error)
        }
    }

    private func collect() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle,
                let transfer = transfers.values.first(where: { $0.easy?.handle == handle })
            else { continue }
            let code = ccurl_message_result(message)
            end(transfer, code == CURLE_OK ? nil : CurlFailure.error(code, transfer))
        }
    }

    private func end(_ transfer: Transfer, _ error: (any Error)?) {
        transfers[transfer.id] = nil
        if let easy = transfer.easy { curl_multi_remove_handle(multi, easy.handle) }
        transfer.easy = nil
        transfer.finish(error)
    }

    /// Ends transfers that are overdue, or whose sink has refused what it got. Returns the milliseconds until the next may be.
    private func enforceDeadlines() -> Int32 {
        let now = clock.now
        var next = now + .seconds(60)
        for transfer in transfers.values {
            let (deadline, error) = transfer.deadline(now)
            if deadline <= now || transfer.failure != nil {
                end(transfer, error)
            } else {
                next = min(next, deadline)
            }
        }
        return Int32(clamping: Int64(((next - now) / .milliseconds(1)).rounded(.up)))
    }
}

extension Transfer {
    /// The nearest deadline, and what passing it means.
    func deadline(_ now: ContinuousClock.Instant) -> (ContinuousClock.Instant, HTTPTransportError) {
        let limits = request.deadlines
        var deadline: ContinuousClock.Instant
        var error: HTTPTransportError
        if isPaused {
            (deadline, error) = (now + .seconds(3_600), HTTPTransportError(.idleTimeout, "nobody reads"))
        } else if hasHead {
            (deadline, error) = (
                lastActivity + limits.idle, HTTPTransportError(.idleTimeout, "\(host) sent nothing for \(limits.idle)")
            )
        } else if let timeToSend = easy?.timeToSend {
            (deadline, error) = (
                max(startedAt + timeToSend, lastActivity) + limits.firstByte,
                HTTPTransportError(.firstByteTimeout, "\(host) didn't answer within \(limits.firstByte)")
            )
        } else {
            // Curl watches over connecting; this is for a transfer that waits for a connection to come free.
            (deadline, error) = (
                startedAt + limits.connect + limits.firstByte,
                HTTPTransportError(
                    .connectTimeout,
                    "no connection to \(host) within \(limits.connect + limits.firstByte)"
                )
            )
        }
        if let total = limits.total, startedAt + total < deadline {
            (deadline, error) = (
                startedAt + total, HTTPTransportError(.totalTimeout, "\(host) took longer than \(total)")
            )
        }
        return (deadline, error)
    }
}
