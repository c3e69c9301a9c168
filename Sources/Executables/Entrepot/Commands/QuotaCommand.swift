// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HTTPTypes
import Models
import Operations

/// How much organizations may cache.
struct QuotaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota",
        abstract: "How much organizations may cache.",
        subcommands: [Show.self, Set.self, Remove.self]
    )

    private struct Quota: Decodable {
        struct Limit: Decodable {
            let id: Int64
            let type: String
            let limitPercent: Int
        }

        let id: Int64
        let limitBytes: Int64
        let limits: [Limit]
    }

    private static func path(_ organization: String, _ rest: String...) -> String {
        ([APIClient.path("organization", organization, "quota")] + rest).joined(separator: "/")
    }

    private static func find(_ organization: String, _ client: APIClient) async throws -> Quota? {
        try await client.get(path(organization), as: [Quota].self).first
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an organization's quota and what it uses.")

        @Argument(help: "The organization.")
        var organization: String

        @Flag(help: "A JSON object in place of text.")
        var json = false

        @OptionGroup var api: APIOptions

        private struct Threshold: Encodable {
            let type: String
            let percent: Int
        }

        private struct Usage: Decodable {
            let usedBytes: Int64
            let reservedBytes: Int64
            let reclaimableBytes: Int64
            let physicalBytes: Int64
        }

        private struct View: Encodable {
            let organization: String
            @Nullable var limitBytes: Int64?
            let usedBytes: Int64
            let reservedBytes: Int64
            let reclaimableBytes: Int64
            let physicalBytes: Int64
            let thresholds: [Threshold]
        }

        func run() async throws {
            try await api.run { client in
                let quota = try await QuotaCommand.find(organization, client)
                let usage = try await client.get(
                    APIClient.path("organization", organization, "usage"),
                    as: Usage.self
                )
                let view = View(
                    organization: organization,
                    limitBytes: quota?.limitBytes,
                    usedBytes: usage.usedBytes,
                    reservedBytes: usage.reservedBytes,
                    reclaimableBytes: usage.reclaimableBytes,
                    physicalBytes: usage.physicalBytes,
                    thresholds: quota?.limits.map { Threshold(type: $0.type, percent: $0.limitPercent) } ?? []
                )
                guard !json else { return Console.write(try Command.json(view)) }
                Console.write(
                    TextTable.text(
                        ["ORGANIZATION", "LIMIT", "USED", "RESERVED", "RECLAIMABLE", "STORED", "THRESHOLDS"],
                        [
                            [
                                organization, view.limitBytes.map(Amount.bytes) ?? "none", Amount.bytes(view.usedBytes),
                                Amount.bytes(view.reservedBytes), Amount.bytes(view.reclaimableBytes),
                                Amount.bytes(view.physicalBytes),
                                view.thresholds.map { "\($0.type) \($0.percent) %" }.joined(separator: ", "),
                            ]
                        ]
                    )
                )
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give an organization a quota, or change it.")

        @Argument(help: "The organization.")
        var organization: String

        @Argument(help: "Such as 150MB or 10GiB.")
        var limit: String

        @Option(help: "What becomes of an image larger than the quota: overflow, bypass or reject.")
        var oversized: String?

        @Option(help: "Percent at which somebody is told.")
        var warning: Int?

        @Option(help: "Percent at which nothing new is cached.")
        var reject: Int?

        @OptionGroup var api: APIOptions

        private struct Limit: Encodable {
            let type: String
            let thresholdPercent: Int
        }

        func validate() throws {
            _ = try limitBytes()
            if let oversized, OversizedPolicy(rawValue: oversized) == nil {
                let known = OversizedPolicy.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--oversized: expected one of \(known)")
            }
            for (option, percent) in [("--warning", warning), ("--reject", reject)] {
                guard let percent, !(1...100).contains(percent) else { continue }
                throw ValidationError("\(option): expected a whole number from 1 to 100")
            }
        }

        private func limitBytes() throws -> Int64 {
            guard let bytes = ByteAmount.parse(limit), bytes > 0 else {
                throw ValidationError("\(limit): expected an amount such as 150MB or 10GiB")
            }
            return bytes
        }

        func run() async throws {
            let bytes = try limitBytes()
            try await api.run { client in
                if let oversized {
                    var wish = ProxyWish(nil)
                    wish.oversized = oversized
                    try await client.change(.put, ProxyCommand.path(organization), wish)
                }
                var quota = try await QuotaCommand.find(organization, client)
                if let quota {
                    try await client.change(
                        .put,
                        QuotaCommand.path(organization, "\(quota.id)"),
                        ["limit_bytes": bytes]
                    )
                } else {
                    try await client.change(.post, QuotaCommand.path(organization), ["limit_bytes": bytes])
                    quota = try await QuotaCommand.find(organization, client)
                }
                guard let quota else { return }
                for (type, percent) in [("Warning", warning), ("Reject", reject)] {
                    guard let percent else { continue }
                    let path = QuotaCommand.path(organization, "\(quota.id)", "limit")
                    let old = quota.limits.filter { $0.type == type }
                    // First, so that there is no less than before when it is refused.
                    if !old.contains(where: { $0.limitPercent == percent }) {
                        try await client.change(.post, path, Limit(type: type, thresholdPercent: percent))
                    }
                    for limit in old where limit.limitPercent != percent {
                        try await client.delete(path + "/\(limit.id)")
                    }
                }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let an organization cache as much as there is room.")

        @Argument(help: "The organization.")
        var organization: String

        @OptionGroup var api: APIOptions

        func run() async throws {
            try await api.run { client in
                guard let quota = try await QuotaCommand.find(organization, client) else {
                    Console.complain("\(organization) has no quota")
                    throw ExitCode(3)
                }
                try await client.delete(QuotaCommand.path(organization, "\(quota.id)"))
            }
        }
    }
}
