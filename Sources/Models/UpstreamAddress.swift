// SPDX-License-Identifier: Apache-2.0

package import OCI

/// Where an organization's images come from: a registry, or one namespace of it.
///
/// Written `[http://|https://]HOST[:PORT][/NAMESPACE…]`, as in `docker.io/library` or `http://127.0.0.1:5000`.
package struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
    /// `host` or `host:port`, lower case, as the administrator knows the registry (`docker.io`).
    package let registry: String
    /// The only namespace that is proxied; nil for the whole registry.
    package let namespace: RepositoryName?
    /// Plain HTTP instead of HTTPS.
    package let isInsecure: Bool

    package init(registry: String, namespace: RepositoryName?, isInsecure: Bool) {
        self.registry = registry
        self.namespace = namespace
        self.isInsecure = isInsecure
    }

    /// The same place by plain HTTP, or by HTTPS; nil for as it is.
    package func with(isInsecure: Bool?) -> UpstreamAddress {
        UpstreamAddress(registry: registry, namespace: namespace, isInsecure: isInsecure ?? self.isInsecure)
    }

    /// Throws ``ModelError`` naming what is wrong with the text.
    package init(parsing text: String) throws(ModelError) {
        var rest = Substring(text)
        var isInsecure = false
        if rest.hasPrefix("http://") {
            isInsecure = true
            rest = rest.dropFirst("http://".count)
        } else if rest.hasPrefix("https://") {
            rest = rest.dropFirst("https://".count)
        } else if rest.contains("://") {
            throw ModelError("upstream \"\(text)\": only http:// and https:// are understood")
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        let slash = rest.firstIndex(of: "/")
        let registry = rest[..<(slash ?? rest.endIndex)].lowercased()
        guard Self.isAuthority(registry) else {
            throw ModelError("upstream \"\(text)\": \"\(registry)\" is no HOST or HOST:PORT")
        }
        var namespace: RepositoryName?
        if let slash {
            let path = String(rest[rest.index(after: slash)...])
            guard let name = RepositoryName(rawValue: path) else {
                throw ModelError("upstream \"\(text)\": \"\(path)\" is no repository namespace")
            }
            namespace = name
        }
        self.init(registry: registry, namespace: namespace, isInsecure: isInsecure)
    }

    /// `HOST[:PORT][/NAMESPACE]`, without a scheme.
    package var plainDescription: String { namespace.map { "\(registry)/\($0)" } ?? registry }

    /// Host and port that requests go to; `docker.io` is a name that only its users know.
    package var authority: String { isDockerHub ? "registry-1.docker.io" : registry }

    package var baseURL: String { (isInsecure ? "http://" : "https://") + authority }

    /// Docker Hub under any of the names it goes by.
    package var isDockerHub: Bool { Self.dockerHub.contains(registry) }

    /// All names by which ``registry`` is known, as administrators may write it.
    package var registryNames: [String] { isDockerHub ? Self.dockerHub : [registry] }

    private static let dockerHub = ["docker.io", "index.docker.io", "registry-1.docker.io"]

    /// Name under which the organization keeps a repository that clients ask for. On Docker Hub `alpine` and
    /// `library/alpine` are the same repository, so both become the second.
    package func canonical(_ repository: RepositoryName) -> RepositoryName {
        guard isDockerHub, namespace == nil, repository.components.count == 1,
            let official = RepositoryName(rawValue: "library/\(repository)")
        else { return repository }
        return official
    }

    /// The repository's name at the upstream. Nil when namespace and name together are too long for one.
    package func upstreamName(of repository: RepositoryName) -> RepositoryName? {
        let canonical = canonical(repository)
        guard let namespace else { return canonical }
        return RepositoryName(rawValue: "\(namespace)/\(canonical)")
    }

    package var description: String {
        (isInsecure ? "http://" : "") + registry + (namespace.map { "/\($0)" } ?? "")
    }

    /// Host name, IPv4 address or bracketed IPv6 address, with an optional port: nothing that could carry
    /// userinfo, a path or a query into a URL.
    private static func isAuthority(_ text: String) -> Bool {
        var host = Substring(text)
        if host.hasPrefix("[") {
            guard let bracket = host.lastIndex(of: "]") else { return false }
            let inside = host[host.index(after: host.startIndex)..<bracket]
            let port = host[host.index(after: bracket)...]
            return !inside.isEmpty && inside.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
                && (port.isEmpty || (port.hasPrefix(":") && isPort(port.dropFirst())))
        }
        if let colon = host.lastIndex(of: ":") {
            guard isPort(host[host.index(after: colon)...]) else { return false }
            host = host[..<colon]
        }
        guard !host.isEmpty, host.utf8.count <= 253 else { return false }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
                }
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        guard text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return false }
        return (1...65_535).contains(Int(text) ?? 0)
    }
}
