// SPDX-License-Identifier: Apache-2.0

import Jobs
import Metadata
import Models
import OCI

/// One image that is fetched ahead: its manifest, of an index the children that are wanted, then all their blobs.
struct WarmImage {
    /// Where the image is kept, and where it comes from.
    private struct Place {
        let organization: OrganizationID
        let repository: RepositoryName
        let config: ProxyCacheConfig
    }

    /// Indexes in indexes are rare, and never this deep.
    private static let maximumDepth = 4

    private let warmer: ImageWarmer
    private let target: WarmTarget
    private let choice: PlatformChoice?
    private let manifests = ManifestStore()
    private let queue = JobQueue()
    private var result: WarmResult
    private var visited: Set<Digest> = []
    private var blobs: [(item: WarmItem, fetch: BlobFetch)] = []

    init(warmer: ImageWarmer, target: WarmTarget, choice: PlatformChoice?) {
        self.warmer = warmer
        self.target = target
        self.choice = choice
        result = WarmResult(image: target.description)
    }

    /// - Throws: ``PostgresError``, `CancellationError`; failures of fetches are in the result
    mutating func run() async throws -> WarmResult {
        let clock = ContinuousClock()
        let start = clock.now
        do {
            let place = try await place()
            let manifest = try await manifest(target.reference, place)
            result.digest = manifest.digest.description
            try await visit(manifest, place, depth: 0)
        } catch let failure as FetchFailure {
            result.failures.append(failure.message)
        }
        let items = try await WarmBlobs(warmer: warmer, blobs: blobs).run()
        result.blobs = items.count
        for item in items {
            switch item.state {
            case .fetched:
                result.fetchedBlobs += 1
                result.fetchedBytes += item.sizeBytes
            case .failed(let reason):
                result.failures.append("\(item.name): \(reason)")
            case .waiting, .arriving, .present:
                break
            }
        }
        result.seconds = (clock.now - start) / .seconds(1)
        result.complete = result.failures.isEmpty
        return result
    }

    private func place() async throws -> Place {
        guard let organization = try await OrganizationStore().find(target.organization, on: warmer.client) else {
            throw FetchFailure(.notFound, "there is no organization \(target.organization)")
        }
        guard let config = organization.proxyCache else {
            throw FetchFailure(.notFound, "organization \(target.organization) proxies no upstream")
        }
        return Place(
            organization: organization.id,
            repository: config.upstream.canonical(target.repository),
            config: config
        )
    }

    // MARK: - Manifests

    private mutating func visit(_ manifest: ManifestRecord, _ place: Place, depth: Int) async throws {
        guard visited.insert(manifest.digest).inserted else { return }
        result.manifests += 1
        let document: ManifestDocument
        do {
            document = try ManifestDocument(bytes: manifest.bytes, contentType: manifest.mediaType)
        } catch {
            throw FetchFailure(.cache, "manifest \(manifest.digest): \(error.message)")
        }
        collect(document, place)
        guard document.kind == .index else { return }
        guard depth < Self.maximumDepth else {
            throw FetchFailure(.unsupported, "index \(manifest.digest) is nested too deep")
        }
        for child in try wanted(of: document, place.config) {
            do {
                try await visit(try await self.manifest(.digest(child.digest), place), place, depth: depth + 1)
            } catch let failure as FetchFailure {
                result.failures.append(failure.message)
            }
        }
    }

    private func wanted(of index: ManifestDocument, _ config: ProxyCacheConfig) throws -> [Descriptor] {
        let choice: PlatformChoice
        do {
            let listed = try config.platforms.map { try Platform($0) }
            choice = self.choice ?? (listed.isEmpty ? .standard : .only(listed))
            if self.choice == nil {
                warmer.report(.note("\(target): fetching for \(choice); --platform and --all-platforms choose others"))
            }
        } catch let error as OCIError {
            throw FetchFailure(.cache, "organization \(target.organization): \(error.message)")
        }
        let children = choice.select(from: index.children)
        guard children.isEmpty, !index.children.isEmpty else { return children }
        let offered = Set(index.children.compactMap { $0.platform?.description }).sorted().joined(separator: ", ")
        throw FetchFailure(.notFound, "\(target) has no image for \(choice), only for \(offered)")
    }

    private mutating func collect(_ document: ManifestDocument, _ place: Place) {
        let config = document.config.map { [(WarmItem.Kind.config, $0)] } ?? []
        // Foreign layers need not be in any registry.
        let layers = (document.layers + document.listedBlobs).filter { !$0.mediaType.isForeignLayer }
            .map { (WarmItem.Kind.layer, $0) }
        for (kind, blob) in config + layers where !blobs.contains(where: { $0.item.digest == blob.digest }) {
            let item = WarmItem(image: target.description, kind: kind, digest: blob.digest, sizeBytes: blob.size)
            let fetch = BlobFetch(
                organization: place.organization,
                upstream: place.config.upstream.baseURL,
                repository: place.repository,
                digest: blob.digest,
                sizeBytes: blob.size
            )
            blobs.append((item, fetch))
        }
    }

    /// The manifest behind a reference: upstream is asked for tags, and for what isn't here.
    private func manifest(_ reference: Reference, _ place: Place) async throws -> ManifestRecord {
        if case .digest(let digest) = reference, let manifest = try await stored(digest, place) {
            report(manifest, .present)
            return manifest
        }
        let fetched = try await fetch(reference, place)
        guard let manifest = try await stored(fetched.digest, place) else {
            throw FetchFailure(.cache, "manifest \(fetched.digest) was removed as soon as it was here")
        }
        report(manifest, fetched.isNew ? .fetched : .present)
        return manifest
    }

    private func stored(_ digest: Digest, _ place: Place) async throws -> ManifestRecord? {
        try await manifests.find(
            digest,
            repository: place.repository,
            organization: place.organization,
            on: warmer.client
        )
    }

    private func fetch(_ reference: Reference, _ place: Place) async throws -> ManifestFetched {
        let fetch = ManifestFetch(
            organization: place.organization,
            config: place.config,
            repository: place.repository,
            reference: reference
        )
        let job = try await queue.enqueue(fetch, queue: .fills, priority: JobPriority.ahead, on: warmer.client)
        await warmer.notifier.jobsAvailable(.fills)
        let deadline = ContinuousClock.now + warmer.configuration.stallDeadline
        while ContinuousClock.now < deadline {
            try await Task.sleep(for: warmer.configuration.pollInterval)
            guard let status = try await queue.statuses(of: [job], on: warmer.client).first else {
                throw FetchFailure(.cache, "job \(job) was removed before its verdict was read")
            }
            if status.state.isFinal { return try status.success() }
        }
        let patience = Amount.duration(warmer.configuration.stallDeadline)
        throw FetchFailure(.timeout, "no answer for \(fetch.uniqueKey) within \(patience): does a fetcher run?")
    }

    private func report(_ manifest: ManifestRecord, _ state: WarmItem.State) {
        let size = Int64(manifest.bytes.count)
        var item = WarmItem(image: target.description, kind: .manifest, digest: manifest.digest, sizeBytes: size)
        item.storedBytes = size
        item.state = state
        warmer.report(.item(item))
    }
}
