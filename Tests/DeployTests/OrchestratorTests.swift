// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing
import Yams

/// The files of Kubernetes, systemd, HAProxy and Prometheus, as their own programs read them.
@Suite("Files of orchestrators")
struct OrchestratorTests {
    private typealias Object = [String: Any]

    private static let folder = Repository.root + "/deploy"

    /// The manifests that kustomize makes, with the scan dispatcher or without.
    private static func kubernetes(_ work: TemporaryDirectory, scanning: Bool) async throws -> String {
        let source = work.path + "/kubernetes"
        try FileManager.default.copyItem(atPath: folder + "/kubernetes", toPath: source)
        if scanning {
            let file = source + "/kustomization.yaml"
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(text.contains("  # - dispatcher.yaml"))
            try text.replacing("  # - dispatcher.yaml", with: "  - dispatcher.yaml")
                .write(toFile: file, atomically: true, encoding: .utf8)
        }
        let file = work.path + "/all.yaml"
        let kubectl = try Checkers.path("kubectl")
        try await run(kubectl, ["kustomize", source, "--output", file])
        return file
    }

    @Test("Kubernetes' own schemas know every field", arguments: [false, true])
    func schemas(_ scanning: Bool) async throws {
        let work = try TemporaryDirectory()
        let file = try await Self.kubernetes(work, scanning: scanning)
        let said = try await run(Checkers.path("kubernetes-validate"), ["--strict", file])
        #expect(said.split(separator: "\n").count >= (scanning ? 18 : 16), "\(said)")
    }

    @Test("pods are probed, drained, and have no rights that they don't need")
    func pods() async throws {
        let work = try TemporaryDirectory()
        let file = try await Self.kubernetes(work, scanning: true)
        let documents = try Yams.load_all(yaml: String(contentsOfFile: file, encoding: .utf8)).compactMap {
            $0 as? Object
        }
        let kinds = Dictionary(grouping: documents) { $0["kind"] as? String ?? "" }
        let workloads = (kinds["Deployment"] ?? []) + (kinds["Job"] ?? [])
        #expect(workloads.count == 6)
        for workload in workloads {
            let name = try #require((workload["metadata"] as? Object)?["name"] as? String)
            let template = try #require((workload["spec"] as? Object)?["template"] as? Object)
            let pod = try #require(template["spec"] as? Object)
            let rights = try #require(pod["securityContext"] as? Object)
            #expect(rights["runAsNonRoot"] as? Bool == true && rights["runAsUser"] as? Int == 10_001, "\(name)")
            let containers = try #require(pod["containers"] as? [Object])
            #expect(containers.count == 1, "\(name): a patch has missed the container")
            let container = containers[0]
            let own = try #require(container["securityContext"] as? Object)
            #expect(own["readOnlyRootFilesystem"] as? Bool == true, "\(name)")
            #expect(own["allowPrivilegeEscalation"] as? Bool == false, "\(name)")
            #expect((own["capabilities"] as? Object)?["drop"] as? [String] == ["ALL"], "\(name)")
            #expect(container["resources"] != nil, "\(name)")
            guard workload["kind"] as? String == "Deployment" else { continue }
            #expect(container["command"] as? [String] == [name])
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                #expect(container[probe] != nil, "\(name): \(probe)")
            }
            #expect(pod["terminationGracePeriodSeconds"] as? Int == 75, "\(name)")
        }
        for (kind, count) in ["HorizontalPodAutoscaler": 1, "PodDisruptionBudget": 2, "NetworkPolicy": 5] {
            #expect(kinds[kind]?.count == count, "\(kind)")
        }
    }

    @Test("systemd takes the units without a word")
    func systemd() async throws {
        let root = try TemporaryDirectory()
        let units = root.path + "/etc/systemd/system"
        let files = FileManager.default
        try files.createDirectory(atPath: root.path + "/etc/systemd", withIntermediateDirectories: true)
        try files.copyItem(atPath: Self.folder + "/systemd", toPath: units)
        // The units that ours name are Debian's own.
        try files.createDirectory(atPath: root.path + "/usr/lib/systemd", withIntermediateDirectories: true)
        try files.copyItem(atPath: "/usr/lib/systemd/system", toPath: root.path + "/usr/lib/systemd/system")
        try files.createDirectory(atPath: root.path + "/usr/local/bin", withIntermediateDirectories: true)
        let programs = [
            "entrepot", "registry-frontend", "upstream-fetcher", "quota-pruner", "garbage-collector", "scan-dispatcher",
        ]
        for program in programs {
            try files.copyItem(atPath: "/bin/true", toPath: "\(root.path)/usr/local/bin/\(program)")
        }
        let names = [
            "entrepot.target", "entrepot-migrate.service", "entrepot-frontend@5080.service",
            "entrepot-fetcher@1.service", "entrepot-pruner.service", "entrepot-collector.service",
            "entrepot-dispatcher.service",
        ]
        // It ends well in spite of what it only warns of.
        #expect(try await run("systemd-analyze", ["verify", "--root=\(root.path)"] + names) == "")
        let weak = "\(units)/entrepot-.service.d/common.conf"
        let text = try String(contentsOfFile: weak, encoding: .utf8) + "NoSuchSetting=yes\n"
        try text.write(toFile: weak, atomically: true, encoding: .utf8)
        let warned = try await run("systemd-analyze", ["verify", "--root=\(root.path)"] + names)
        #expect(warned.contains("NoSuchSetting"), "what the units share isn't read")
    }

    @Test("HAProxy takes its configuration")
    func haproxy() async throws {
        try await run("haproxy", ["-c", "-f", Self.folder + "/haproxy.cfg"])
    }

    @Test("Prometheus takes its configuration")
    func prometheus() async throws {
        let file = Self.folder + "/prometheus/prometheus.yml"
        try await run("promtool", ["check", "config", "--syntax-only", file])
    }
}
