// SPDX-License-Identifier: Apache-2.0

package import OCI

/// Which organization a mirror's request means (distribution-spec "Registry Proxying"): containerd names the registry that
/// it would have asked in the query parameter `ns`, and leaves the organization out of the path. Pure.
///
/// The parameter selects among configured upstreams; it is never a target of its own.
package enum MirrorRules {
    /// - Parameters:
    ///   - namespace: `host[:port]` in lower case
    ///   - path: repository as the client asks for it
    ///   - organizations: all of them, oldest first
    /// - Returns: the organization and the repository in it; nil when no upstream is meant by it.
    package static func choose(
        _ namespace: String,
        path: RepositoryName,
        among organizations: [Organization]
    ) -> (organization: Organization, repository: RepositoryName)? {
        let wanted = canonical(namespace)
        let candidates = organizations.filter { organization in
            organization.proxyCache.map { canonical($0.upstream.registry) == wanted } ?? false
        }
        // A mirror that was given an organization's path sends both.
        if let first = path.components.first, path.components.count > 1,
            let named = candidates.first(where: { $0.name.rawValue == first }), let rest = path.dropping(1)
        {
            return (named, rest)
        }
        if let whole = candidates.first(where: { $0.proxyCache?.upstream.namespace == nil }) { return (whole, path) }
        for organization in candidates {
            guard let namespace = organization.proxyCache?.upstream.namespace, path.isBelow(namespace),
                let rest = path.dropping(namespace.components.count)
            else { continue }
            return (organization, rest)
        }
        return nil
    }

    /// Docker Hub under any of its names is one registry, and HTTPS's own port is none.
    static func canonical(_ authority: String) -> String {
        let name = authority.hasSuffix(":443") ? String(authority.dropLast(4)) : authority
        let upstream = UpstreamAddress(registry: name, namespace: nil, isInsecure: false)
        return upstream.isDockerHub ? "docker.io" : name
    }
}

extension RepositoryName {
    fileprivate func isBelow(_ namespace: RepositoryName) -> Bool {
        components.count > namespace.components.count && components.starts(with: namespace.components)
    }
}
