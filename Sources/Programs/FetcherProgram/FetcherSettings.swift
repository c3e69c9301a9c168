// SPDX-License-Identifier: Apache-2.0

import Fetcher
import Foundation
import HTTPTransport
import Sealing
import ServiceRuntime
import Upstream

/// What an operator can set.
struct FetcherSettings {
    private static let allowedHosts = SettingKey(
        "SSRF_ALLOWED_HOSTS",
        kind: .list,
        default: "",
        help: "upstream hosts, addresses and CIDRs that may be private or loopback"
    )
    private static let connectTimeout = SettingKey(
        "UPSTREAM_CONNECT_TIMEOUT",
        kind: .duration,
        default: "5s",
        help: "for name look-up, connection and TLS with an upstream"
    )
    private static let responseTimeout = SettingKey(
        "UPSTREAM_RESPONSE_TIMEOUT",
        kind: .duration,
        default: "30s",
        help: "until an upstream begins to answer a request"
    )
    private static let idleTimeout = SettingKey(
        "UPSTREAM_IDLE_TIMEOUT",
        kind: .duration,
        default: "60s",
        help: "without one byte from an upstream that is sending"
    )
    private static let manifestTimeout = SettingKey(
        "UPSTREAM_MANIFEST_TIMEOUT",
        kind: .duration,
        default: "60s",
        help: "for one whole manifest, list or token; blobs may take as long as they move"
    )
    private static let manifestSlots = SettingKey(
        "FETCHER_MANIFEST_SLOTS",
        kind: .int,
        default: "32",
        help: "manifests and tag checks that one fetcher does at once"
    )
    private static let blobSlots = SettingKey(
        "FETCHER_BLOB_SLOTS",
        kind: .int,
        default: "16",
        help: "blobs that one fetcher receives at once"
    )
    private static let fillSlots = SettingKey(
        "FETCHER_FILL_SLOTS",
        kind: .int,
        default: "4",
        help: "fetches that no client waits for that one fetcher does at once, beside the others"
    )
    private static let megabytesInFlight = SettingKey(
        "FETCHER_ORGANIZATION_MEGABYTES_IN_FLIGHT",
        kind: .int,
        default: "0",
        help: "of blobs that may be on their way for one organization, in all fetchers; the rest waits; 0 for no limit"
    )
    private static let fill = SettingKey(
        "FILL",
        kind: .bool,
        default: "true",
        help: "whether layers that clients skip are fetched as well"
    )
    private static let fillDelay = SettingKey(
        "FILL_DELAY",
        kind: .duration,
        default: "5s",
        help: "how long after a manifest the rest of its image is fetched; 0 is as FILL: false"
    )
    private static let lease = SettingKey(
        "FETCHER_LEASE",
        kind: .duration,
        default: "5s",
        help: "after which another fetcher takes over from one that fell silent"
    )

    private static let keyFiles = SettingKey(
        "FETCHER_KEY_FILES",
        kind: .list,
        default: "",
        help: "files of private keys, newest first, that open the credentials of upstreams"
    )

    private static let quotaPatience = SettingKey(
        "QUOTA_PATIENCE",
        kind: .duration,
        default: "2s",
        help: "how long an image waits for room when others are arriving, before it is stored over its quota's limit"
    )

    static let keys =
        SharedSettings.keys + [
            allowedHosts, connectTimeout, responseTimeout, idleTimeout, manifestTimeout, manifestSlots, blobSlots,
            fillSlots, megabytesInFlight, fill, fillDelay, lease, keyFiles, quotaPatience,
        ]

    let blobDirectory: String
    let transport: HTTPTransportConfiguration
    let privateKeys: [SealingPrivateKey]
    /// Threads that receive blobs, beside the one for manifests.
    let blobThreads = 2
    var deadlines = UpstreamClient.Deadlines()
    var fetcher = FetcherService.Configuration()

    /// Throws a settings error that names the key.
    init(_ settings: SettingsReader) throws {
        blobDirectory = try settings.string(SharedSettings.blobDirectory)
        let allowed = try settings.list(Self.allowedHosts).map { text in
            do { return try AllowedUpstream(text) } catch {
                throw settings.invalid(Self.allowedHosts, text, "\(error)")
            }
        }
        transport = HTTPTransportConfiguration(addressPolicy: AddressPolicy(allowed: allowed))
        privateKeys = try settings.list(Self.keyFiles).map { path in
            do { return try SealingPrivateKey(fileContent: String(contentsOfFile: path, encoding: .utf8)) } catch {
                throw settings.invalid(Self.keyFiles, path, "\(error is SealingError ? "\(error)" : "can't be read")")
            }
        }
        deadlines.connect = try settings.duration(Self.connectTimeout)
        deadlines.firstByte = try settings.duration(Self.responseTimeout)
        deadlines.idle = try settings.duration(Self.idleTimeout)
        deadlines.smallObject = try settings.duration(Self.manifestTimeout)
        fetcher.manifestSlots = try settings.int(Self.manifestSlots, in: 1...1_000)
        fetcher.blobSlots = try settings.int(Self.blobSlots, in: 1...1_000)
        fetcher.fillSlots = try settings.int(Self.fillSlots, in: 1...1_000)
        let patience = try settings.duration(Self.quotaPatience)
        fetcher.quotaPatience = try settings.bool(SharedSettings.quotaManagement) ? patience : nil
        fetcher.isProxying = try settings.bool(SharedSettings.proxyCache)
        let megabytes = try settings.int(Self.megabytesInFlight, in: 0...1_000_000_000)
        fetcher.organizationBytesInFlight = megabytes > 0 ? Int64(megabytes) * 1_000_000 : nil
        let delay = try settings.duration(Self.fillDelay)
        fetcher.fillDelay = try settings.bool(Self.fill) && delay > .zero ? delay : nil
        fetcher.lease = try settings.duration(Self.lease)
        fetcher.shutdownGrace = try SharedSettings.workGrace(settings)
    }
}
