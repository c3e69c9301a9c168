// SPDX-License-Identifier: Apache-2.0

package import OCI

/// Which children of an index are wanted.
package enum PlatformChoice: Sendable, Hashable, CustomStringConvertible {
    case all
    case only([Platform])

    /// What is fetched ahead where nobody said anything: what most servers run on.
    package static let standard = PlatformChoice.only([Platform(os: "linux", architecture: "amd64")])

    /// The children that are wanted, each once. One that doesn't say what it runs on can't be ruled out; what says
    /// `unknown` (attestations) can.
    package func select(from children: [Descriptor]) -> [Descriptor] {
        var seen: Set<Digest> = []
        return children.filter { child in wants(child.platform) && seen.insert(child.digest).inserted }
    }

    private func wants(_ platform: Platform?) -> Bool {
        switch self {
        case .all: true
        case .only(let wanted): platform.map { platform in wanted.contains { platform.satisfies($0) } } ?? true
        }
    }

    package var description: String {
        switch self {
        case .all: "all platforms"
        case .only(let platforms): platforms.map(\.description).joined(separator: ", ")
        }
    }
}
