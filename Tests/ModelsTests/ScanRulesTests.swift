// SPDX-License-Identifier: Apache-2.0

import Models
import Testing

/// What is done with images, and what follows from what the scanner says.
@Suite("Scan rules")
struct ScanRulesTests {
    private static let limits = ScanRules.Limits()
    private static let layer = ScanLayer(digest: "sha256:a", sizeBytes: 10)

    private static func image(
        _ state: ScanState = .queued,
        failures: Int = 0,
        indexState: String? = nil,
        isIndexed: Bool = false,
        isInDoubt: Bool = false,
        layers: [ScanLayer] = [layer]
    ) -> ScanImage {
        ScanImage(
            manifest: ManifestID(rawValue: 1),
            digest: "sha256:m",
            state: state,
            failures: failures,
            indexState: indexState,
            isIndexed: isIndexed,
            isInDoubt: isInDoubt,
            layers: layers
        )
    }

    @Test("a new image is indexed, a known one is only asked for its report, and a scanner that changed gets it again")
    func plans() {
        func plan(_ image: ScanImage) -> ScanRules.Plan { ScanRules.plan(image, scanner: "now", Self.limits) }
        #expect(plan(Self.image()) == .index([Self.layer]))
        #expect(plan(Self.image(.scanned, indexState: "now", isIndexed: true)) == .report)
        // Indexed, and the matcher had no data yet.
        #expect(plan(Self.image(.queued, indexState: "now", isIndexed: true)) == .report)
        #expect(plan(Self.image(.scanned, indexState: "before", isIndexed: true)) == .index([Self.layer]))
        #expect(plan(Self.image(.scanned, indexState: "now", isIndexed: true, isInDoubt: true)) == .index([Self.layer]))
        #expect(plan(Self.image(.failed, indexState: "now")) == .index([Self.layer]))
    }

    @Test("layers that other hosts keep aren't sent, and an image of nothing else has nothing to scan")
    func foreignLayers() {
        let absent = ScanLayer(digest: "sha256:f", sizeBytes: 10, isPresent: false, isForeign: true)
        let present = ScanLayer(digest: "sha256:g", sizeBytes: 10, isPresent: true, isForeign: true)
        let mixed = Self.image(layers: [absent, present, Self.layer])
        #expect(ScanRules.plan(mixed, scanner: "now", Self.limits) == .index([present, Self.layer]))
        for layers in [[absent], []] {
            guard case .rest(let verdict) = ScanRules.plan(Self.image(layers: layers), scanner: "now", Self.limits)
            else {
                Issue.record("\(layers)")
                continue
            }
            #expect(verdict.state == .unsupported && verdict.after == nil)
        }
    }

    @Test("a layer that was lost is waited for, and one that is too large ends it")
    func layersThatAreWrong() {
        var limits = Self.limits
        limits.maximumLayerBytes = 9
        guard case .rest(let tooLarge) = ScanRules.plan(Self.image(), scanner: "now", limits) else {
            Issue.record("sent")
            return
        }
        #expect(tooLarge.state == .tooLarge && tooLarge.after == nil)
        let lost = Self.image(layers: [ScanLayer(digest: "sha256:a", sizeBytes: 1, isPresent: false)])
        guard case .rest(let verdict) = ScanRules.plan(lost, scanner: "now", Self.limits) else {
            Issue.record("sent")
            return
        }
        #expect(verdict.state == .failed && verdict.after != nil && verdict.failures == 0)
    }

    @Test(
        "failures that say nothing of the image don't count against it",
        arguments: [ScanFailure.unreachable("gone"), .later("429")]
    )
    func uncounted(_ failure: ScanFailure) {
        for failures in [0, 3, 4] {
            let verdict = ScanRules.after(failure, Self.image(failures: failures), Self.limits, jitter: 1)
            #expect(verdict.failures == failures && verdict.after != nil)
            #expect(verdict.state == (failures == 0 ? .queued : .failed))
        }
        #expect(ScanRules.after(failure, Self.image(.scanned), Self.limits, jitter: 1).state == .scanned)
    }

    @Test("failures over the image are retried later and later, and the fifth one rests until the scanner changes")
    func counted() {
        var last: Duration = .zero
        for failures in 0..<4 {
            let verdict = ScanRules.after(.failed("500"), Self.image(failures: failures), Self.limits, jitter: 1)
            #expect(verdict.state == .failed && verdict.failures == failures + 1)
            let after = verdict.after ?? .zero
            #expect(after > last)
            last = after
        }
        let verdict = ScanRules.after(.failed("500"), Self.image(failures: 4), Self.limits, jitter: 1)
        #expect(verdict.state == .exhausted && verdict.after == nil && verdict.reason == "500")
    }

    @Test("what the scanner says isn't an image is final")
    func refused() {
        let verdict = ScanRules.after(.refused("400"), Self.image(), Self.limits, jitter: 1)
        #expect(verdict.state == .refused && verdict.after == nil)
    }

    @Test("delays stay between half and the whole, and end at ten minutes")
    func delays() {
        #expect(ScanRules.delay(1, 0) == .seconds(15) && ScanRules.delay(1, 1) == .seconds(30))
        #expect(ScanRules.delay(3, 1) == .seconds(120) && ScanRules.delay(50, 1) == .seconds(600))
    }

    @Test("states have the model's words")
    func words() {
        #expect(
            ScanState.allCases.map(\.publicStatus).sorted() == [
                "failed", "failed", "manifest_layer_too_large", "queued", "scanned", "unsupported", "unsupported",
            ]
        )
    }

    @Test(
        "scores are severities where the scanner has no word",
        arguments: [
            (0.0, Severity.unknown), (0.1, .low), (3.9, .low), (4, .medium), (6.9, .medium), (7, .high), (9, .critical),
            (10, .critical),
        ]
    )
    func scores(_ score: Double, _ severity: Severity) {
        #expect(Severity(score: score) == severity)
    }

    @Test("a summary counts findings by severity and names the worst one that can be fixed")
    func summary() {
        let packages = [
            ScannedPackage(
                name: "a",
                version: "1",
                layer: "",
                findings: [
                    ScanFinding(severity: .critical, name: "C-1"),
                    ScanFinding(severity: .high, name: "H-1", fixedBy: "2"),
                ]
            ),
            ScannedPackage(
                name: "b",
                version: "1",
                layer: "",
                findings: [
                    ScanFinding(severity: .low, name: "L-1", fixedBy: "3")
                ]
            ),
            ScannedPackage(name: "c", version: "1", layer: ""),
        ]
        let summary = ScanSummary(packages)
        #expect(summary.packages == 3 && summary.total == 3 && summary.totalFixable == 2)
        #expect(
            summary.count(.critical) == 1 && summary.fixable[Severity.critical.rawValue] == 0
                && summary.worst == .critical
        )
        #expect(summary.worstFixable?.name == "H-1" && summary.worstFixable?.package == "a")
        #expect(ScanSummary([]).worst == nil)
    }
}

/// Which images are served.
@Suite("Scan policy")
struct ScanPolicyTests {
    private static func standing(
        _ state: ScanState?,
        _ worst: Severity? = nil,
        hasReport: Bool? = nil,
        kind: ScanStanding.Kind = .image
    ) -> ScanStanding {
        ScanStanding(
            kind: kind,
            state: state,
            hasReport: hasReport ?? (state == .scanned),
            worstFixable: worst.map {
                ScanSummary.Fixable(severity: $0, name: "CVE-1", package: "p", version: "1", fixedBy: "2")
            }
        )
    }

    @Test("findings at or above the line that can be fixed are refused, and no others")
    func blocking() {
        let policy = ScanPolicy(blockSeverity: .high)
        #expect(policy.decide(Self.standing(.scanned)) == .serve)
        #expect(policy.decide(Self.standing(.scanned, .medium)) == .serve)
        for severity in [Severity.high, .critical] {
            let standing = Self.standing(.scanned, severity)
            #expect(policy.decide(standing) == standing.worstFixable.map(ScanPolicy.Decision.refuse))
        }
        // An old report holds until there is a newer one.
        if case .refuse = policy.decide(Self.standing(.failed, .high, hasReport: true)) {
        } else {
            Issue.record("served")
        }
        #expect(ScanPolicy.off.isOff && !policy.isOff)
        #expect(ScanPolicy.off.decide(Self.standing(.scanned, .critical)) == .serve)
    }

    @Test("images without a report are served, waited for or refused, as the organization says")
    func unscanned() {
        for state in [nil, ScanState.queued, .failed] {
            #expect(ScanPolicy(unscanned: .allow).decide(Self.standing(state)) == .serve)
            #expect(ScanPolicy(unscanned: .wait).decide(Self.standing(state)) == .wait)
            #expect(ScanPolicy(unscanned: .deny).decide(Self.standing(state)) == .refuseUnscanned)
        }
        // No report will come of these.
        for state in [ScanState.exhausted, .refused, .tooLarge] {
            #expect(ScanPolicy(unscanned: .wait).decide(Self.standing(state)) == .refuseUnscanned)
        }
    }

    @Test("indexes, artifacts and images without layers are nobody's business here")
    func otherKinds() {
        let policy = ScanPolicy(blockSeverity: .low, unscanned: .deny)
        #expect(policy.decide(Self.standing(nil, kind: .index)) == .serve)
        #expect(policy.decide(Self.standing(.unsupported, kind: .artifact)) == .serve)
        #expect(policy.decide(Self.standing(.unsupported)) == .serve)
    }
}
