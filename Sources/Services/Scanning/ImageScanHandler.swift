// SPDX-License-Identifier: Apache-2.0

import Clair
import Jobs
import Logging
import Metadata
import Models
import Postgres

/// Has one image indexed, if need be, and fetches its report. What comes of it is written in one transaction with the end
/// of the job. Doing it twice asks the scanner before it sends anything again.
struct ImageScanHandler: JobHandler {
    /// What the scanner is known to have done for the image.
    private struct Trace {
        var indexState: String?
        /// Nil when nothing new is known.
        var isIndexed: Bool?
    }

    let kind = JobKind.imageScan
    let client: PostgresClient
    let clair: ClairClient
    let watch: ScannerWatch
    let layers: LayerSource
    let limits: ScanRules.Limits
    let notifier: JobNotifier
    let logger: Logger
    private let queue = JobQueue()
    private let scans = ScanStore()
    private let reports = ScanReportStore()

    init(
        client: PostgresClient,
        clair: ClairClient,
        watch: ScannerWatch,
        layers: LayerSource,
        limits: ScanRules.Limits,
        notifier: JobNotifier,
        logger: Logger
    ) {
        self.client = client
        self.clair = clair
        self.watch = watch
        self.layers = layers
        self.limits = limits
        self.notifier = notifier
        self.logger = logger
    }

    func handle(_ job: ClaimedJob) async throws -> JobOutcome {
        let key = try JSONText.decode(String.self, job.payload)
        guard let id = Int64(key), let image = try await scans.image(ManifestID(rawValue: id), on: client) else {
            // Deleted meanwhile.
            return .complete(result: JSONText.encode("gone"))
        }
        var trace = Trace()
        var failure: ScanFailure?
        var report: (text: String, summary: ScanSummary)?
        var verdict = ScanVerdict(state: .scanned, after: limits.reportAge)
        do {
            guard let indexState = watch.indexState else {
                throw ScanFailure.unreachable("the scanner can't be reached")
            }
            switch ScanRules.plan(image, scanner: indexState, limits) {
            case .rest(let resting): verdict = resting
            case .report: report = try await known(image, indexState, &trace)
            case .index(let layers): report = try await index(image, layers, indexState, &trace)
            }
        } catch let found as ScanFailure {
            failure = found
            verdict = ScanRules.after(found, image, limits, jitter: .random(in: 0...1))
            if case .unreachable = found { watch.suspect() }
        }
        // Whether the image arrived is known if the scanner said something of it, whatever became of the rest.
        var isAnswered = true
        if case .unreachable? = failure { isAnswered = trace.isIndexed != nil }
        try await client.withTransaction { [verdict, trace, report, isAnswered] transaction in
            try await queue.complete(job.lease, result: JSONText.encode(verdict.state), on: transaction)
            if let report {
                try await reports.store(report.text, report.summary, of: image.manifest, on: transaction)
            }
            try await scans.record(
                verdict,
                of: image.manifest,
                indexState: trace.indexState,
                isIndexed: trace.isIndexed,
                isAnswered: isAnswered,
                on: transaction
            )
        }
        await notifier.notify(.scans, [image.digest])
        tell(image, verdict, report?.summary, job)
        return .finished
    }

    /// The report of an image that was indexed. A scanner that has forgotten it is sent it again.
    private func known(
        _ image: ScanImage,
        _ indexState: String,
        _ trace: inout Trace
    ) async throws -> (text: String, summary: ScanSummary) {
        do {
            return try await report(of: image)
        } catch ScanFailure.unknownImage {
            trace.isIndexed = false
            guard case .index(let layers) = ScanRules.plan(image.forgotten, scanner: indexState, limits) else {
                throw ScanFailure.unknownImage
            }
            return try await index(image.forgotten, layers, indexState, &trace)
        }
    }

    private func index(
        _ image: ScanImage,
        _ layers: [ScanLayer],
        _ indexState: String,
        _ trace: inout Trace
    ) async throws -> (text: String, summary: ScanSummary) {
        var progress: IndexProgress?
        if image.isInDoubt {
            // It was sent before, and whoever sent it died: it may have arrived.
            let found = try await clair.indexProgress(of: image.digest)
            if let found, found.isFinished, (found.indexState ?? indexState) == indexState { progress = found }
        }
        if progress == nil {
            let manifest = try await self.layers.manifest(of: image, layers)
            try await scans.noteSent(image.manifest, on: client)
            progress = try await answer(of: image, indexState, &trace) { try await clair.index(manifest) }
        }
        guard let progress else { throw ScanFailure.unknownImage }
        trace.indexState = progress.indexState ?? indexState
        guard progress.isFinished else {
            trace.isIndexed = false
            let reason = progress.error.isEmpty ? "the scanner stopped at \(progress.state)" : progress.error
            throw ScanFailure.failed(String(reason.prefix(1_000)))
        }
        trace.isIndexed = true
        do { return try await report(of: image) } catch ScanFailure.unknownImage {
            trace.isIndexed = false
            throw ScanFailure.unknownImage
        }
    }

    /// What the scanner failed on belongs to the state that it was in.
    private func answer<Value>(
        of image: ScanImage,
        _ indexState: String,
        _ trace: inout Trace,
        _ body: () async throws -> Value
    ) async throws -> Value {
        do { return try await body() } catch let failure as ScanFailure {
            switch failure {
            case .failed, .refused, .unknownImage:
                trace.indexState = indexState
                trace.isIndexed = false
            case .unreachable, .later:
                break
            }
            throw failure
        }
    }

    private func report(of image: ScanImage) async throws -> (text: String, summary: ScanSummary) {
        let (text, report) = try await clair.vulnerabilityReport(of: image.digest)
        guard report.manifest == image.digest else {
            throw ScanFailure.failed("the scanner sent the report of \(report.manifest.prefix(100))")
        }
        // PostgreSQL's text can't hold a NUL; as a character of JSON it would be escaped.
        return (text.replacing("\0", with: ""), ScanSummary(report.scannedPackages))
    }

    private func tell(_ image: ScanImage, _ verdict: ScanVerdict, _ summary: ScanSummary?, _ job: ClaimedJob) {
        var metadata: Logger.Metadata = [
            "job.id": "\(job.lease.job)", "digest": "\(image.digest)", "state": "\(verdict.state.rawValue)",
        ]
        if let reason = verdict.reason { metadata["reason"] = "\(reason)" }
        if let summary {
            metadata["packages"] = "\(summary.packages)"
            metadata["findings"] = "\(summary.total)"
        }
        guard verdict.reason == nil else { return logger.warning("image not scanned", metadata: metadata) }
        logger.info("image scanned", metadata: metadata)
    }
}

extension ScanImage {
    /// The same, of which the scanner knows nothing.
    fileprivate var forgotten: ScanImage {
        ScanImage(
            manifest: manifest,
            digest: digest,
            state: state,
            failures: failures,
            indexState: indexState,
            isIndexed: false,
            isInDoubt: false,
            layers: layers
        )
    }
}
