// SPDX-License-Identifier: Apache-2.0

import Addresses
import CCurl
import Glibc
import HTTPTypes

/// One curl easy handle, set up for one transfer. Lives on the driver's thread.
final class EasyHandle {
    let handle: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?

    /// - Parameter transfer: must outlive the handle; curl's callbacks get it unretained
    init(_ transfer: Transfer, _ target: RequestTarget, _ configuration: HTTPTransportConfiguration)
        throws(HTTPTransportError)
    {
        guard let handle = curl_easy_init() else { throw HTTPTransportError(.other, "out of memory") }
        self.handle = handle
        let request = transfer.request
        set(CURLOPT_URL, request.url)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        set(CURLOPT_CONNECTTIMEOUT_MS, Int(clamping: Int64(request.deadlines.connect / .milliseconds(1))))
        set(CURLOPT_BUFFERSIZE, configuration.receiveBufferBytes)
        set(CURLOPT_USERAGENT, configuration.userAgent)
        // An empty string is "no proxy, whatever the environment says": we read the environment ourselves.
        set(CURLOPT_PROXY, configuration.proxies.proxy(for: target) ?? "")
        set(CURLOPT_NOPROXY, "")
        if let path = configuration.caBundlePath { set(CURLOPT_CAINFO, path) }
        setMethod(request)
        setHeaders(request)
        setCallbacks(transfer)
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(headers)
    }

    /// Time from the start until the request could be sent; nil while connecting.
    var timeToSend: Duration? {
        var microseconds: curl_off_t = 0
        guard ccurl_get_offset(handle, CURLINFO_PRETRANSFER_TIME_T, &microseconds) == CURLE_OK, microseconds > 0 else {
            return nil
        }
        return .microseconds(Int64(microseconds))
    }

    var peerAddress: String? {
        var address: UnsafeMutablePointer<CChar>?
        guard ccurl_get_string(handle, CURLINFO_PRIMARY_IP, &address) == CURLE_OK, let address else { return nil }
        return String(cString: address)
    }

    private func setMethod(_ request: HTTPTransportRequest) {
        switch request.body {
        case nil:
            if request.method == .head { set(CURLOPT_NOBODY, 1) }
        case .bytes(let bytes):
            set(CURLOPT_UPLOAD, 1)
            ccurl_set_offset(handle, CURLOPT_INFILESIZE_LARGE, curl_off_t(bytes.count))
        case .stream(let length, _):
            set(CURLOPT_UPLOAD, 1)
            ccurl_set_offset(handle, CURLOPT_INFILESIZE_LARGE, curl_off_t(length ?? -1))
        }
        if request.method != .get || request.body != nil, request.method != .head {
            set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
        }
    }

    private func setHeaders(_ request: HTTPTransportRequest) {
        for field in request.headers {
            // "Name;" is how curl sends a field without a value.
            let line = field.value.isEmpty ? "\(field.name.rawName);" : "\(field.name.rawName): \(field.value)"
            headers = curl_slist_append(headers, line)
        }
        // "Name:" keeps curl from adding a field of its own.
        if request.headers[.accept] == nil { headers = curl_slist_append(headers, "Accept:") }
        if request.headers[.expect] == nil { headers = curl_slist_append(headers, "Expect:") }
        ccurl_set_list(handle, CURLOPT_HTTPHEADER, headers)
    }

    private func setCallbacks(_ transfer: Transfer) {
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        ccurl_set_data_function(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            guard let transfer = Transfer.from(context) else { return 0 }
            let length = size * count
            return transfer.header(UnsafeRawBufferPointer(start: bytes, count: length)) ? length : 0
        }
        ccurl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        ccurl_set_data_function(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let transfer = Transfer.from(context) else { return 0 }
            let length = size * count
            switch transfer.body(UnsafeRawBufferPointer(start: bytes, count: length)) {
            case .all: return length
            case .pause: return Int(CURL_WRITEFUNC_PAUSE)
            case .none: return length == 0 ? 1 : 0
            }
        }
        ccurl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        ccurl_set_data_function(handle, CURLOPT_READFUNCTION) { room, size, count, context in
            guard let transfer = Transfer.from(context) else { return Int(CURL_READFUNC_ABORT) }
            switch transfer.supply(UnsafeMutableRawBufferPointer(start: room, count: size * count)) {
            case .bytes(let count): return count
            case .notYet: return Int(CURL_READFUNC_PAUSE)
            case .end: return 0
            case .failed: return Int(CURL_READFUNC_ABORT)
            }
        }
        ccurl_set_pointer(handle, CURLOPT_READDATA, context)
        ccurl_set_socket_function(handle) { context, _, address in
            guard let transfer = Transfer.from(context), let address else { return CURL_SOCKET_BAD }
            return transfer.openSocket(address)
        }
        ccurl_set_pointer(handle, CURLOPT_OPENSOCKETDATA, context)
    }

    private func set(_ option: CURLoption, _ value: Int) { ccurl_set_long(handle, option, value) }

    private func set(_ option: CURLoption, _ value: String) { ccurl_set_string(handle, option, value) }
}

extension Transfer {
    static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Asks the policy about the address that is about to be connected to: after name look-up, so that no name can lead
    /// anywhere else between the question and the connection.
    func openSocket(_ address: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
        if let policy {
            let (ip, port) = IPAddress.from(&address.pointee.addr) ?? (IPAddress.unspecified, 0)
            guard policy.permits(address: ip, port: port, host: host) else {
                refusedAddress = "\(ip)"
                return CURL_SOCKET_BAD
            }
        }
        return socket(
            address.pointee.family,
            address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue),
            address.pointee.protocol
        )
    }
}
