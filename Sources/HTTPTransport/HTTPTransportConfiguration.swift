// SPDX-License-Identifier: Apache-2.0

import Foundation

package struct HTTPTransportConfiguration: Sendable {
    /// Which addresses may be connected to.
    package var addressPolicy: AddressPolicy
    package var proxies: ProxyEnvironment
    /// PEM file of trusted authorities; nil for `CURL_CA_BUNDLE`, `SSL_CERT_FILE` or the system's.
    package var caBundlePath: String?
    package var maximumConnectionsPerHost = 64
    package var maximumConnections = 256
    package var userAgent = "entrepot"
    package var receiveBufferBytes = 512 * 1024
    /// Header bytes of a response.
    package var maximumHeaderBytes = 256 * 1024

    package init(
        addressPolicy: AddressPolicy = .init(),
        proxies: ProxyEnvironment = .fromProcess(),
        caBundlePath: String? = nil
    ) {
        self.addressPolicy = addressPolicy
        self.proxies = proxies
        let environment = ProcessInfo.processInfo.environment
        let named = ["CURL_CA_BUNDLE", "SSL_CERT_FILE"].compactMap { environment[$0] }.first { !$0.isEmpty }
        self.caBundlePath = caBundlePath ?? named
    }
}
