// SPDX-License-Identifier: Apache-2.0

import Accounts
import Blobs
import Clair
import Foundation
import HTTPTypes
import HummingbirdCore
import Jobs
import Metadata
import Models
import NIOCore
import OCI
import Postgres

/// What the vulnerability scanner asks of us: layers, and that we take note of news.
struct ScannerEndpoint: Sendable {
    static let prefix = "/secscan/"
    private static let layerPrefix = "/secscan/layer/"
    private static let notificationPath = "/secscan/notification"
    private static let maximumBytes = 64 * 1024

    private let client: PostgresClient
    private let storage: any BlobStorage
    private let signer: TokenSigner
    private let key: SharedKey?
    private let notifier: JobNotifier
    private let sendDeadline: Duration
    private let canSendFiles: Bool
    private let blobs = BlobStore()
    private let notifications = ScanNotificationStore()

    /// - Parameters:
    ///   - key: nil to take no notifications
    ///   - sendDeadline: how long the scanner may take no byte
    ///   - canSendFiles: connections are plain HTTP/1
    init(
        client: PostgresClient,
        storage: any BlobStorage,
        signer: TokenSigner,
        key: SharedKey?,
        notifier: JobNotifier,
        sendDeadline: Duration,
        canSendFiles: Bool
    ) {
        self.client = client
        self.storage = storage
        self.signer = signer
        self.key = key
        self.notifier = notifier
        self.sendDeadline = sendDeadline
        self.canSendFiles = canSendFiles
    }

    /// - Throws: ``RegistryError``
    func answer(_ request: Request) async throws -> Reply {
        let path = request.uri.path
        if path.hasPrefix(Self.layerPrefix) {
            guard request.method == .get else { throw Self.wrongMethod([.get]) }
            return try await layer(String(path.dropFirst(Self.layerPrefix.count)), request.headers)
        }
        guard path == Self.notificationPath, key != nil else {
            throw RegistryError(.nameUnknown, status: 404, message: "there is nothing at \(path)")
        }
        guard request.method == .post else { throw Self.wrongMethod([.post]) }
        return try await notification(request)
    }

    /// The whole blob as it is stored, whatever `Range` says: the scanner takes 200 and nothing else. Its type says nothing
    /// of the content, so that the scanner looks for itself.
    private func layer(_ text: String, _ headers: HTTPFields) async throws -> Reply {
        guard let digest = text.removingPercentEncoding.flatMap(Digest.init(rawValue:)),
            let token = Self.bearer(headers),
            try await signer.verify(token, layer: digest)
        else { throw RegistryError(.denied, status: 403, message: "the token isn't good for this layer") }
        guard let placement = try await blobs.state(of: digest, on: client)?.placement else {
            throw RegistryError(.blobUnknown, message: "\(digest) isn't here")
        }
        let reader: any BlobReader
        do { reader = try storage.open(placement) } catch let error as BlobStorageError where error.isLoss {
            try await blobs.unplace(placement, on: client)
            throw RegistryError(.blobUnknown, message: "\(digest) isn't here any more")
        }
        let size = placement.sizeBytes
        let body = BlobBody(
            source: .stored(reader),
            parts: size > 0 ? [.slice(0..<size)] : [],
            organization: nil,
            deadline: sendDeadline,
            canSendFiles: canSendFiles
        )
        return Reply(
            status: 200,
            headers: [.contentType: "application/octet-stream", .cacheControl: "no-store"],
            body: .blob(body),
            contentLength: size
        )
    }

    /// Takes note that there is something to fetch. Where from is ours to know: the address in the body isn't read.
    private func notification(_ request: Request) async throws -> Reply {
        guard let key, await key.accepts(request.headers[.authorization]) else {
            throw RegistryError(.denied, status: 403, message: "the signature isn't the scanner's")
        }
        struct Body: Decodable { let notification_id: UUID }
        let body: ByteBuffer
        do { body = try await request.body.collect(upTo: Self.maximumBytes) } catch is NIOTooManyBytesError {
            throw RegistryError(
                .unsupported,
                status: 413,
                message: "the body is larger than \(Self.maximumBytes) bytes"
            )
        }
        guard let id = try? JSONDecoder().decode(Body.self, from: Data(body.readableBytesView)).notification_id else {
            // What can't be read is the sender's mistake, and told as such.
            throw RegistryError(.unsupported, status: 400, message: "expected JSON with a notification_id")
        }
        if try await notifications.receive(id, on: client) { await notifier.jobsAvailable(.scans) }
        return Reply(
            status: 200,
            headers: [.contentType: "application/json"],
            body: .bytes(Array("{}".utf8)),
            contentLength: 2
        )
    }

    private static func bearer(_ headers: HTTPFields) -> String? {
        guard let parts = headers[.authorization]?.split(separator: " ", maxSplits: 1), parts.count == 2,
            parts[0].lowercased() == "bearer"
        else { return nil }
        return String(parts[1])
    }

    private static func wrongMethod(_ allowed: [HTTPRequest.Method]) -> RegistryError {
        RegistryError(.unsupported, status: 405, message: "another method is needed", allowedMethods: allowed)
    }
}
