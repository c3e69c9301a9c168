// SPDX-License-Identifier: Apache-2.0

/// What keeps content alive, as far as a decision to prune has to know it. Ending what keeps it is played through here,
/// so that what is ended in truth is known to be enough before.
package struct PruneGraph: Sendable {
    /// A manifest in a repository.
    package struct MemberKey: Hashable, Sendable, Comparable {
        package let repository: RepositoryID
        package let manifest: ManifestID

        package init(repository: RepositoryID, manifest: ManifestID) {
            self.repository = repository
            self.manifest = manifest
        }

        package static func < (left: Self, right: Self) -> Bool {
            (left.repository.rawValue, left.manifest.rawValue) < (right.repository.rawValue, right.manifest.rawValue)
        }
    }

    /// A living manifest of a repository.
    package struct Member: Sendable {
        /// Live tags that name it, living indexes that list it, and the hold on it.
        package var keepers: Int
        package let children: [MemberKey]
        /// Digests of its blobs, and its own; each once.
        package let contents: [Int]

        package init(keepers: Int, children: [MemberKey], contents: [Int]) {
            self.keepers = keepers
            self.children = children
            self.contents = contents
        }
    }

    /// A blob or manifest of the organization.
    package struct Content: Sendable {
        package let bytes: Int64
        /// Living members that have it.
        package var holders: Int

        package init(bytes: Int64, holders: Int) {
            self.bytes = bytes
            self.holders = holders
        }
    }

    package private(set) var members: [MemberKey: Member] = [:]
    package private(set) var contents: [Int: Content] = [:]

    package init() {}

    /// Adds what isn't known yet.
    package mutating func add(members: [MemberKey: Member], contents: [Int: Content]) {
        self.members.merge(members) { old, _ in old }
        self.contents.merge(contents) { old, _ in old }
    }

    /// Whether bytes are gone that were there as long as something kept this member: its own, or those of what it lists.
    package func hasFreed(by key: MemberKey) -> Bool {
        var seen: Set<MemberKey> = []
        var waiting = [key]
        while let key = waiting.popLast() {
            guard let member = members[key], member.keepers == 0, seen.insert(key).inserted else { continue }
            if member.contents.contains(where: isFreed) { return true }
            waiting += member.children
        }
        return false
    }

    private func isFreed(_ id: Int) -> Bool {
        contents[id].map { $0.holders == 0 && $0.bytes > 0 } ?? false
    }

    /// Takes one keeper away from a member. What nothing keeps then goes, its children lose a keeper, and so on.
    /// - Returns: bytes of contents that nobody has any more
    package mutating func release(_ key: MemberKey) -> Int64 {
        var freed: Int64 = 0
        var waiting = [key]
        while let key = waiting.popLast() {
            guard let member = members[key], member.keepers > 0 else { continue }
            members[key]?.keepers -= 1
            guard member.keepers == 1 else { continue }
            for id in member.contents {
                guard let content = contents[id] else { continue }
                contents[id]?.holders -= 1
                if content.holders == 1 { freed += content.bytes }
            }
            waiting += member.children
        }
        return freed
    }
}
