// SPDX-License-Identifier: Apache-2.0

import HTTPTransport
import Models
package import OCI

/// Layers that registries aren't allowed to give.
extension UpstreamClient {
    /// Streams a foreign layer from where its descriptor says that it is, outside of the registry and without any
    /// credentials, as far as that is on one of the hosts that the organization lists (image-spec "Non-Distributable
    /// Layers").
    /// - Throws: ``FetchFailure`` `denied` when no address is on a listed host, or whatever ``blob(_:in:from:into:)`` throws
    package func foreignLayer(
        _ digest: Digest,
        at addresses: [String],
        hosts: [String],
        in repository: UpstreamRepository,
        from start: BlobStart,
        into sink: any BlobSink
    ) async throws {
        let what = "foreign layer \(digest)"
        let allowsPlain = repository.address.isInsecure
        let isListed: @Sendable (String) -> Bool = { Origin($0)?.isListed(in: hosts, allowsPlain: allowsPlain) == true }
        let listed = addresses.filter(isListed)
        guard !listed.isEmpty else {
            let named = Set(addresses.compactMap { Origin($0)?.host }).sorted().joined(separator: ", ")
            throw FetchFailure(
                .denied,
                "upstream \(repository) doesn't have \(what), and none of its other hosts is on this organization's list: "
                    + (named.isEmpty ? "it names none" : named)
            )
        }
        // One after the other: what some host doesn't have any more, or isn't there to give, another may.
        for (number, address) in listed.enumerated() {
            do {
                return try await foreignLayer(
                    what,
                    digest,
                    at: address,
                    isListed: isListed,
                    in: repository,
                    from: start,
                    into: sink
                )
            } catch let failure as FetchFailure where number + 1 < listed.count && Self.isWithoutBytes(failure) {
                continue
            }
        }
    }

    private func foreignLayer(
        _ what: String,
        _ digest: Digest,
        at first: String,
        isListed: (String) -> Bool,
        in repository: UpstreamRepository,
        from start: BlobStart,
        into sink: any BlobSink
    ) async throws {
        var address = first
        var hops = 0
        while true {
            let gate = gate(what, in: repository, from: start, into: sink)
            let head: HTTPTransportHead
            do {
                head = try await blobTransport(for: digest).receive(blobRequest(address, from: start), into: gate)
            } catch let unwanted as BlobGate.Unwanted {
                head = unwanted.head
            } catch let error as HTTPTransportError {
                throw FetchFailure.transport(error, asking: repository, for: what)
            }
            if head.status == 200 || head.status == 206 { return }
            guard Redirect.statuses.contains(head.status) else {
                throw FetchFailure.status(head, asking: repository, for: "\(what), at \(Origin(address)?.host ?? "")")
            }
            hops += 1
            address = try Redirect.target(of: head, from: address, hop: hops, repository: repository, what)
            guard isListed(address) else {
                let host = Origin(address)?.host ?? ""
                throw FetchFailure(.refusedAddress, "\(repository): \(what): redirected to \(host), which isn't listed")
            }
        }
    }

    /// The host answered with something else than the layer, or not at all.
    private static func isWithoutBytes(_ failure: FetchFailure) -> Bool {
        failure.upstreamStatus != nil || failure.cause == .unreachable
    }
}
