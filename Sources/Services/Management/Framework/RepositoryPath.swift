// SPDX-License-Identifier: Apache-2.0

/// Names of repositories have slashes, which routers take for the ends of path components.
enum RepositoryPath {
    private static let prefix = "/api/v1/repository/"

    /// A path whose repository is one component, its slashes escaped; any other path is left as it is. When the path can
    /// be read in more than one way, the longest of the operations' endings wins; who escapes the slashes himself isn't
    /// misunderstood.
    /// - Parameter endings: what may come after the repository, in components, `{names}` among them
    static func fold(_ path: String, endings: [[String]]) -> String {
        guard path.hasPrefix(prefix) else { return path }
        let components = path.dropFirst(prefix.count).split(separator: "/")
        let ending = endings.filter { fits($0, components) }.max { $0.count < $1.count } ?? []
        let name = components.dropLast(ending.count)
        guard !name.isEmpty else { return path }
        return prefix
            + ([name.joined(separator: "%2F")] + components.suffix(ending.count).map(String.init))
            .joined(separator: "/")
    }

    private static func fits(_ ending: [String], _ components: [Substring]) -> Bool {
        let name = components.dropLast(ending.count)
        guard components.count > ending.count else { return false }
        // An organization alone is no repository.
        guard name.count >= 2 || name[0].lowercased().contains("%2f") else { return false }
        return zip(ending, components.suffix(ending.count)).allSatisfy { $0.hasPrefix("{") || $0 == $1 }
    }
}
