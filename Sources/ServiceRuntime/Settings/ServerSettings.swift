// SPDX-License-Identifier: Apache-2.0

/// How clients, and others, reach the frontends.
package enum ServerSettings {
    package static let hostname = SettingKey(
        "SERVER_HOSTNAME",
        kind: .string,
        default: "",
        help: "host, with port if need be, under which clients know the registry; the address they connect to if empty"
    )
    package static let scheme = SettingKey(
        "PREFERRED_URL_SCHEME",
        kind: .string,
        default: "http",
        help: "how clients reach the registry: `http`, or `https` behind a proxy that speaks TLS"
    )

    package static let certificate = SettingKey(
        "TLS_CERTIFICATE",
        kind: .string,
        default: "",
        help: "PEM file of the certificate, and of those that lead to its authority; plain HTTP if empty"
    )
    package static let key = SettingKey(
        "TLS_KEY",
        kind: .string,
        default: "",
        help: "PEM file of the certificate's key"
    )
    package static let shutdownDelay = SettingKey(
        "SHUTDOWN_DELAY",
        kind: .duration,
        default: "0s",
        help:
            "between SIGTERM, from which on `/readyz` says no, and the end of accepting: as long as a balancer needs to see it"
    )

    package static let keys = [hostname, scheme]
}
