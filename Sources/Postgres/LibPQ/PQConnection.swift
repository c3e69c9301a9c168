// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Glibc

/// One libpq connection, with every wait bounded. Not thread-safe: it lives inside the ``Connection`` actor.
final class PQConnection {
    let handle: OpaquePointer
    private let clock = ContinuousClock()
    /// Names of what the server has prepared, by statement. As many as the source has: none is ever dropped.
    private var prepared: [String: String] = [:]
    /// Statements that the server was asked to prepare. One that wasn't confirmed in time may be prepared nevertheless, so its
    /// name isn't used again.
    private var preparations = 0

    /// How long a cancelled or overdue statement may take to end before the connection is given up.
    private let cancelPatience: Duration

    /// Connects within the deadline. Throws ``PostgresError`` `connect`.
    init(
        connectionString: String,
        applicationName: String,
        timeout: Duration,
        cancelPatience: Duration
    ) throws(PostgresError) {
        // Keywords after dbname win over what is in the string.
        let parameters = [
            ("dbname", connectionString), ("fallback_application_name", applicationName), ("client_encoding", "UTF8"),
        ]
        let started = CStrings.with(parameters.map(\.0)) { keywords in
            CStrings.with(parameters.map(\.1)) { values in PQconnectStartParams(keywords, values, 1) }
        }
        guard let handle = started else { throw PostgresError(.connect, "out of memory") }
        self.handle = handle
        self.cancelPatience = cancelPatience
        try connect(until: clock.now + timeout)
        _ = PQsetNoticeProcessor(handle, { _, _ in }, nil)  // notices would go to standard error
        _ = PQsetnonblocking(handle, 1)
    }

    deinit { PQfinish(handle) }

    /// Whether this is a connection string: a URL, or `key=value` words.
    static func canRead(_ connectionString: String) -> Bool {
        guard let options = PQconninfoParse(connectionString, nil) else { return false }
        PQconninfoFree(options)
        return true
    }

    var isBroken: Bool { PQstatus(handle) == CONNECTION_BAD }

    var isIdle: Bool { PQtransactionStatus(handle) == PQTRANS_IDLE }

    /// Inside a transaction that only a ROLLBACK can end.
    var isInFailedTransaction: Bool { PQtransactionStatus(handle) == PQTRANS_INERROR }

    /// Whether the server has closed the connection while nobody used it.
    func hasBeenClosed() -> Bool {
        // What arrives without a question is a notice, a notification or the end, which last words may precede.
        while let events = try? PQWait.poll(PQsocket(handle), for: Int16(POLLIN), until: clock.now), events != 0 {
            guard PQconsumeInput(handle) == 1 else { return true }
        }
        return isBroken
    }

    /// Runs one statement with binds.
    func execute(_ query: Query, timeout: Duration, cancel: () -> Void) throws(PostgresError) -> Rows {
        let (types, values) = try query.parameters()
        var name: String?
        if query.isPrepared { name = try prepare(query.sql, types, timeout: timeout, cancel: cancel) }
        let isSent = CStrings.with(values) { values in
            if let name {
                PQsendQueryPrepared(handle, name, Int32(types.count), values, nil, nil, 0)
            } else {
                PQsendQueryParams(handle, query.sql, Int32(types.count), types, values, nil, nil, 0)
            }
        }
        guard isSent == 1 else { throw lost() }
        return try finish(until: clock.now + timeout, cancel: cancel)
    }

    private func prepare(
        _ sql: String,
        _ types: [UInt32],
        timeout: Duration,
        cancel: () -> Void
    ) throws(PostgresError) -> String {
        if let name = prepared[sql] { return name }
        let name = "entrepot_\(preparations)"
        preparations += 1
        guard PQsendPrepare(handle, name, sql, Int32(types.count), types) == 1 else { throw lost() }
        _ = try finish(until: clock.now + timeout, cancel: cancel)
        prepared[sql] = name
        return name
    }

    /// Runs statements separated by semicolons, without binds.
    func execute(script: String, timeout: Duration, cancel: () -> Void) throws(PostgresError) {
        guard PQsendQuery(handle, script) == 1 else { throw lost() }
        _ = try finish(until: clock.now + timeout, cancel: cancel)
    }

    /// Adds rows by `COPY`.
    func copy(
        _ rows: CopyRows,
        into target: String,
        timeout: Duration,
        cancel: () -> Void
    ) throws(PostgresError) {
        try rows.check()
        guard PQsendQuery(handle, "COPY \(target) FROM STDIN") == 1 else { throw lost() }
        _ = try finish(until: clock.now + timeout, copying: rows.bytes, cancel: cancel)
    }

    /// Notifications that have arrived, waiting for the first one as long as `deadline` and the wake descriptor allow.
    func notifications(until deadline: ContinuousClock.Instant, wake: Int32) throws(PostgresError) -> [(String, String)]
    {
        var found = drainNotifications()
        while found.isEmpty {
            switch try PQWait.poll(PQsocket(handle), orWake: wake, until: deadline) {
            case .ready:
                guard PQconsumeInput(handle) == 1 else { throw lost() }
                found = drainNotifications()
            case .woken, .timeout:
                return []
            }
        }
        return found
    }

    // MARK: - Steps

    private func connect(until deadline: ContinuousClock.Instant) throws(PostgresError) {
        // What fails at once has no socket to wait for.
        var status = isBroken ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        while true {
            switch status {
            case PGRES_POLLING_OK:
                return
            case PGRES_POLLING_FAILED:
                throw PostgresError(.connect, message())
            case PGRES_POLLING_READING, PGRES_POLLING_WRITING:
                let events = Int16(status == PGRES_POLLING_READING ? POLLIN : POLLOUT)
                guard try PQWait.poll(PQsocket(handle), for: events, until: deadline) != 0 else {
                    throw PostgresError(.connect, "the server didn't answer in time")
                }
            default:
                break
            }
            status = PQconnectPoll(handle)
        }
    }

    /// Sends what is left to send, then reads results until there are no more. The last one counts, unless one failed.
    /// - Parameter copied: what the server gets when it asks for the rows of a `COPY`
    private func finish(
        until deadline: ContinuousClock.Instant,
        copying copied: [UInt8] = [],
        cancel: () -> Void
    ) throws(PostgresError) -> Rows {
        var deadline = deadline
        var isOverdue = false
        var rows = Rows.empty
        var failure: PostgresError?
        while true {
            let isReady: Bool
            do { isReady = try awaitResult(until: deadline) } catch {
                // The server's last words, such as "terminating connection", are in what was read.
                throw failure ?? serverError() ?? error
            }
            guard isReady else {
                guard !isOverdue else { throw PostgresError(.connectionLost, "a statement couldn't be ended") }
                isOverdue = true
                cancel()
                deadline = clock.now + cancelPatience
                continue
            }
            guard let result = PQgetResult(handle) else { break }
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                rows = Rows(result)
            case PGRES_COPY_IN:
                try send(copied, isWanted: !isOverdue)
            default:
                if failure == nil { failure = PostgresError(result: result) }
            }
        }
        if isOverdue { throw PostgresError(.timeout, "a statement took longer than it may") }
        if let failure { throw failure }
        return rows
    }

    private func send(_ copied: [UInt8], isWanted: Bool) throws(PostgresError) {
        // libpq keeps what the server doesn't take yet; a COPY that is too late is ended, or it would ask for ever.
        let isSent =
            isWanted
            ? copied.withUnsafeBytes { bytes in
                PQputCopyData(handle, bytes.assumingMemoryBound(to: CChar.self).baseAddress, Int32(bytes.count)) == 1
            } && PQputCopyEnd(handle, nil) == 1
            : PQputCopyEnd(handle, "too late") == 1
        guard isSent else { throw lost() }
    }

    /// True when `PQgetResult` won't block; false when the deadline has passed.
    private func awaitResult(until deadline: ContinuousClock.Instant) throws(PostgresError) -> Bool {
        while true {
            let flushed = PQflush(handle)
            guard flushed >= 0 else { throw lost() }
            if flushed == 0, PQisBusy(handle) == 0 { return true }
            let events = Int16(flushed == 1 ? POLLIN | POLLOUT : POLLIN)
            let ready = try PQWait.poll(PQsocket(handle), for: events, until: deadline)
            if ready == 0 { return false }
            if ready & Int16(POLLIN | POLLHUP | POLLERR) != 0, PQconsumeInput(handle) == 0 { throw lost() }
        }
    }

    private func drainNotifications() -> [(String, String)] {
        var found: [(String, String)] = []
        while let notification = PQnotifies(handle) {
            found.append((String(cString: notification.pointee.relname), String(cString: notification.pointee.extra)))
            PQfreemem(notification)
        }
        return found
    }

    /// An error result that was received before the connection broke.
    private func serverError() -> PostgresError? {
        while PQisBusy(handle) == 0, let result = PQgetResult(handle) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR { return PostgresError(result: result) }
        }
        return nil
    }

    private func lost() -> PostgresError { PostgresError(.connectionLost, message()) }

    private func message() -> String {
        let text = String(cString: PQerrorMessage(handle))
        let line = text.split(separator: "\n").joined(separator: "; ")
        return line.isEmpty ? "the connection is gone" : line
    }
}

/// Arrays of C strings for the time of a call.
enum CStrings {
    static func with<Result>(_ strings: [String?], _ body: ([UnsafePointer<CChar>?]) -> Result) -> Result {
        let copies = strings.map { $0.flatMap { strdup($0) } }
        defer { for copy in copies { free(copy) } }
        return body(copies.map { $0.map { UnsafePointer($0) } } + [nil])
    }

    static func with<Result>(_ strings: [String], _ body: ([UnsafePointer<CChar>?]) -> Result) -> Result {
        with(strings.map(Optional.some), body)
    }
}
