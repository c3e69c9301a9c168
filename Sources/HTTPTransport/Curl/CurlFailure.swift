// SPDX-License-Identifier: Apache-2.0

import CCurl

/// The one place where curl's codes become ours.
enum CurlFailure {
    static func error(_ code: CURLcode, _ transfer: Transfer) -> HTTPTransportError {
        let host = transfer.host
        let reason = String(cString: curl_easy_strerror(code))
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return HTTPTransportError(.dns, "the name \(host) can't be resolved")
        case CURLE_COULDNT_CONNECT:
            if let address = transfer.refusedAddress {
                return HTTPTransportError(.addressRefused, "\(host) leads to \(address), which isn't allowed")
            }
            return HTTPTransportError(.connectRefused, "\(host) doesn't accept connections")
        case CURLE_OPERATION_TIMEDOUT:
            let limit = transfer.request.deadlines.connect
            return HTTPTransportError(.connectTimeout, "no connection to \(host) within \(limit)")
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS,
            CURLE_USE_SSL_FAILED, CURLE_SSL_PINNEDPUBKEYNOTMATCH:
            return HTTPTransportError(.tls, "TLS with \(host) failed: \(reason)")
        case CURLE_URL_MALFORMAT:
            return HTTPTransportError(.badURL, "the URL makes no sense")
        // A header line beyond curl's own limit; older versions take it for a lack of memory.
        case CURLE_OUT_OF_MEMORY where !transfer.hasHead, CURLcode(rawValue: 100):
            return HTTPTransportError(.headerTooLarge, "\(host) sent a header line that is too large")
        // The scheme was judged before: this is an answer that doesn't begin as HTTP does.
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_GOT_NOTHING, CURLE_WEIRD_SERVER_REPLY, CURLE_HTTP2,
            CURLE_HTTP2_STREAM, CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR:
            guard transfer.hasHead else {
                return HTTPTransportError(.protocolError, "\(host) gave no answer: \(reason)")
            }
            return HTTPTransportError(.truncated, "\(host) broke off its answer: \(reason)")
        default:
            guard transfer.hasHead else { return HTTPTransportError(.other, "\(host): \(reason)") }
            return HTTPTransportError(.truncated, "\(host) broke off its answer: \(reason)")
        }
    }
}
