// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Logging
import OCI

/// Gets a layer as Clair does (`libindex/fetcher.go`), and reads the list of Debian packages in it.
struct LayerReader: Sendable {
    /// What becomes of the call whose layer it is.
    enum Failure: Error {
        /// 500.
        case fetch(String)
        /// 400.
        case format(String)
    }

    /// Other types than these end the call; these leave it to the bytes.
    private static let types: Set<String> = [
        "", "text/plain", "binary/octet-stream", "application/octet-stream", "application/gzip", "application/x-gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip", "application/x-tar",
    ]
    private static let maximumBytes = 1 << 30

    let transport: HTTPTransport

    /// The packages that the layer lists; empty when it has no such list.
    func packages(of digest: OCI.Digest, at uri: String, _ headers: [String: [String]]) async throws -> [DebianPackage]
    {
        var fields = HTTPFields()
        for (name, values) in headers {
            guard let name = HTTPField.Name(name) else { throw Failure.fetch("\(name) is no header") }
            for value in values { fields.append(HTTPField(name: name, value: value)) }
        }
        let bytes = try await get(uri, fields)
        guard OCI.Digest.of(bytes, algorithm: digest.algorithm) == digest else {
            throw Failure.fetch("validation failed: \(digest)")
        }
        let folder = try TemporaryDirectory()
        let file = folder.path + "/layer"
        try Data(bytes).write(to: URL(filePath: file))
        let names: [String]
        do { names = try await run("tar", ["-tf", file]).split(separator: "\n").map(String.init) } catch {
            throw Failure.format("\(digest) is no tar")
        }
        guard let status = names.first(where: { $0.hasSuffix("var/lib/dpkg/status") }) else { return [] }
        return DebianPackage.parse(try await run("tar", ["-xOf", file, status]))
    }

    private func get(_ uri: String, _ headers: HTTPFields) async throws -> [UInt8] {
        let response: HTTPTransportResponse
        do { response = try await transport.send(HTTPTransportRequest(url: uri, headers: headers)) } catch {
            throw Failure.fetch("request failed: \(error)")
        }
        guard response.head.status == 200 else {
            throw Failure.fetch("unexpected status code: \(response.head.status)")
        }
        let type = response.head.headers[.contentType] ?? ""
        guard Self.types.contains(type) else { throw Failure.fetch("unknown content-type \(type)") }
        do { return try await response.collect(upTo: Self.maximumBytes) } catch {
            throw Failure.fetch("read failed: \(error)")
        }
    }
}
