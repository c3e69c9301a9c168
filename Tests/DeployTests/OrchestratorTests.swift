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

    /// The manifests that kustomize makes, with what stands behind a # (the scan dispatcher, a way to webhooks) or without.
    private static func kubernetes(_ work: TemporaryDirectory, complete: Bool) async throws -> String {
        let source = work.path + "/kubernetes"
        try FileManager.default.copyItem(atPath: folder + "/kubernetes", toPath: source)
        if complete {
            let file = source + "/kustomization.yaml"
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(text.contains("  # - dispatcher.yaml"))
            try text.replacing("  # - dispatcher.yaml", with: "  - dispatcher.yaml")
                .write(toFile: file, atomically: true, encoding: .utf8)
            let policies = source + "/network.yaml"
            let parts = try String(contentsOfFile: policies, encoding: .utf8).split(separator: "\n# ---\n")
            #expect(parts.count == 2)
            let opened = parts[1].replacing(/(?m)^#[ ]/, with: "")
            try "\(parts[0])\n---\n\(opened)".write(toFile: policies, atomically: true, encoding: .utf8)
        }
        let file = work.path + "/all.yaml"
        let kubectl = try Checkers.path("kubectl")
        try await run(kubectl, ["kustomize", source, "--output", file])
        return file
    }

    @Test("Kubernetes' own schemas know every field", arguments: [false, true])
    func schemas(_ complete: Bool) async throws {
        let work = try TemporaryDirectory()
        let file = try await Self.kubernetes(work, complete: complete)
        let said = try await run(Checkers.path("kubernetes-validate"), ["--strict", file])
        #expect(said.split(separator: "\n").count >= (complete ? 19 : 16), "\(said)")
    }

    /// Kubernetes' objects by their kinds.
    private static func kinds(in file: String) throws -> [String: [Object]] {
        let documents = try Yams.load_all(yaml: String(contentsOfFile: file, encoding: .utf8)).compactMap {
            $0 as? Object
        }
        return Dictionary(grouping: documents) { $0["kind"] as? String ?? "" }
    }

    @Test("no pod is reached by the whole cluster, and nobody there is believed who isn't named")
    func reach() async throws {
        let work = try TemporaryDirectory()
        let kinds = try Self.kinds(in: await Self.kubernetes(work, complete: true))
        for policy in kinds["NetworkPolicy"] ?? [] {
            let spec = try #require(policy["spec"] as? Object)
            for rule in spec["ingress"] as? [Object] ?? [] {
                let sources = try #require(rule["from"] as? [Object], "\(policy)")
                #expect(!sources.isEmpty && sources.allSatisfy { !$0.isEmpty }, "\(policy)")
            }
        }
        let settings = try String(contentsOfFile: Self.folder + "/kubernetes/config.yaml", encoding: .utf8)
        let values = try #require(try Yams.load(yaml: settings) as? Object)
        #expect(values["TRUSTED_PROXIES"] == nil)
        let manual = try Self.section("On Kubernetes")
        #expect(manual.contains("entrepot/ingress=clients") && manual.contains("`TRUSTED_PROXIES`"))
        // What policies keep pods from, as long as nobody opens them.
        for setting in ["QUOTA_WEBHOOK_URL", "VULNERABILITY_WEBHOOK_URL", "TRACES_ENDPOINT", "HTTPS_PROXY"] {
            #expect(manual.contains("`\(setting)`"), "\(setting)")
        }
    }

    /// A section of the README.
    private static func section(_ title: String) throws -> Substring {
        let readme = try String(contentsOfFile: Repository.root + "/README.md", encoding: .utf8)
        return try #require(readme.split(separator: "\n## ").first { $0.hasPrefix(title + "\n") })
    }

    @Test("pods are probed, drained, and have no rights that they don't need")
    func pods() async throws {
        let work = try TemporaryDirectory()
        let kinds = try Self.kinds(in: await Self.kubernetes(work, complete: true))
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
            if name == "registry-frontend" {
                let mounts = try #require(container["volumeMounts"] as? [Object])
                let blobs = mounts.first { $0["name"] as? String == "blobs" }
                #expect(blobs?["readOnly"] as? Bool == true)
            }
            guard workload["kind"] as? String == "Deployment" else { continue }
            #expect(container["command"] as? [String] == [name])
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                #expect(container[probe] != nil, "\(name): \(probe)")
            }
            #expect(pod["terminationGracePeriodSeconds"] as? Int == 75, "\(name)")
        }
        for (kind, count) in ["HorizontalPodAutoscaler": 1, "PodDisruptionBudget": 2, "NetworkPolicy": 6] {
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

    @Test("units see the machine's start, from which a process' own is told, and a proxy beside them is spoken of")
    func start() throws {
        let file = Self.folder + "/systemd/entrepot-.service.d/common.conf"
        let common = try String(contentsOfFile: file, encoding: .utf8)
        // /proc/stat, which `ProcSubset=pid` hides.
        #expect(!common.contains("ProcSubset="))
        #expect(common.contains("\nProtectProc=invisible\n"))
        #expect(try Self.section("With systemd").contains("`TRUSTED_PROXIES: [127.0.0.1]`"))
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

    @Test("every service is looked for by its name, and missed when it has none")
    func missed() throws {
        let text = try String(contentsOfFile: Self.folder + "/prometheus/prometheus.yml", encoding: .utf8)
        let jobs = try #require((try Yams.load(yaml: text) as? Object)?["scrape_configs"] as? [Object])
        let found = jobs.filter { $0["job_name"] as? String == "entrepot" }
            .flatMap { $0["dns_sd_configs"] as? [Object] ?? [] }
            .flatMap { $0["names"] as? [String] ?? [] }
        #expect(found.count == 5)
        let rules = try String(contentsOfFile: Self.folder + "/prometheus/alerts.yml", encoding: .utf8)
        let groups = try #require((try Yams.load(yaml: rules) as? Object)?["groups"] as? [Object])
        let alerts = groups.flatMap { $0["rules"] as? [Object] ?? [] }
        let gone = try #require(alerts.first { $0["alert"] as? String == "EntrepotServiceGone" })
        let question = try #require(gone["expr"] as? String)
        for service in found {
            let series = "up{job=\"entrepot\", service=\"\(service)\"}"
            #expect(question.contains(service == "scan-dispatcher" ? series : "absent(\(series))"), "\(service)")
        }
    }
}
