// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

extension RegistryRequest {
    /// Reads a request.
    ///
    /// The target is taken as it was sent: nothing is decoded before it is split, so an encoded slash or dot is just
    /// a character that no name may have. Names contain slashes, hence the path is matched from its end.
    ///
    /// - Parameters:
    ///   - method: Method of the request.
    ///   - target: Raw request target in origin form, `path[?query]`.
    /// - Throws: ``RegistryError``: 404 `UNSUPPORTED` for a path that is no endpoint, 405 `UNSUPPORTED` with `Allow`
    ///   for a method that the endpoint does not have (empty for uploads, RFC 9110 section 10.2.1), 400
    ///   `NAME_INVALID`, `DIGEST_INVALID`, `MANIFEST_INVALID` (for a tag, since the specification has no code for it)
    ///   or `UNSUPPORTED` (for a query).
    package init(method: HTTPRequest.Method, target: String) throws(RegistryError) {
        let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex
        let path = target[..<mark]
        let query = RequestQuery(Substring(target.utf8[mark...].dropFirst()))

        let namespace = try query.namespace()
        let route: Route
        if path == "/v2/" || path == "/v2" {
            try Self.check(method, for: path, allowed: [.get, .head])
            route = .ping
        } else {
            guard path.utf8.starts(with: "/v2/".utf8) else { throw Self.noEndpoint(path) }
            let segments = path.utf8.dropFirst("/v2/".utf8.count)
                .split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                .map(Substring.init)
            route = try Self.route(method: method, segments: segments, path: path, query: query)
        }
        self.init(route, isHead: method == .head, namespace: namespace)
    }

    private static func route(
        method: HTTPRequest.Method,
        segments: [Substring],
        path: Substring,
        query: RequestQuery
    ) throws(RegistryError) -> Route {
        guard segments.count >= 2 else { throw noEndpoint(path) }
        let last = segments[segments.count - 1]
        let keyword = segments[segments.count - 2]
        let before = segments.dropLast(2)
        switch (keyword, last) {
        case ("tags", "list"):
            let name = try repository(before, of: path)
            try check(method, for: path, allowed: [.get, .head])
            return .tagList(name, n: try query.count(), last: try query.text("last"))
        case ("manifests", _) where !last.isEmpty:
            return try manifestRoute(method: method, name: try repository(before, of: path), last: last, path: path)
        case ("blobs", "uploads"):
            return try uploadRoute(method: method, name: try repository(before, of: path), session: "", path: path)
        case ("blobs", _) where !last.isEmpty:
            return try blobRoute(method: method, name: try repository(before, of: path), last: last, path: path)
        case ("uploads", _) where before.last == "blobs":
            let name = try repository(before.dropLast(), of: path)
            return try uploadRoute(method: method, name: name, session: last, path: path)
        case ("referrers", _) where !last.isEmpty:
            let name = try repository(before, of: path)
            let subject = try digest(last)
            try check(method, for: path, allowed: [.get, .head])
            let last = try query.text("last")
            return .referrers(
                name,
                subject,
                artifactType: try query.text("artifactType"),
                last: try last.map { text throws(RegistryError) in try digest(Substring(text)) }
            )
        default: throw noEndpoint(path)
        }
    }

    private static func manifestRoute(
        method: HTTPRequest.Method,
        name: RepositoryName,
        last: Substring,
        path: Substring
    ) throws(RegistryError) -> Route {
        let reference: Reference
        do throws(OCIError) {
            reference = try Reference(parsing: decodingColon(last))
        } catch {
            throw RegistryError(
                error.code == .invalidDigest ? .digestInvalid : .manifestInvalid,
                message: error.message
            )
        }
        switch method {
        case .get, .head: return .manifest(name, reference)
        case .put: return .push(.putManifest(name, reference))
        case .delete: return .push(.deleteManifest(name, reference))
        default: throw notAllowed(method, for: path, allowed: [.get, .head])
        }
    }

    private static func blobRoute(
        method: HTTPRequest.Method,
        name: RepositoryName,
        last: Substring,
        path: Substring
    ) throws(RegistryError) -> Route {
        let blob = try digest(last)
        switch method {
        case .get, .head: return .blob(name, blob)
        case .delete: return .push(.deleteBlob(name, blob))
        default: throw notAllowed(method, for: path, allowed: [.get, .head])
        }
    }

    private static func uploadRoute(
        method: HTTPRequest.Method,
        name: RepositoryName,
        session: Substring,
        path: Substring
    ) throws(RegistryError) -> Route {
        guard !session.isEmpty else {
            guard method == .post else { throw notAllowed(method, for: path, allowed: []) }
            return .push(.startUpload(name))
        }
        guard session.utf8.count <= 255, session.utf8.allSatisfy(\.isUnreserved), session != ".", session != ".." else {
            throw RegistryError(.blobUploadUnknown, message: "upload \(session.quoted) is not known")
        }
        let session = String(session)
        switch method {
        case .patch: return .push(.continueUpload(name, session: session))
        case .put: return .push(.finishUpload(name, session: session))
        case .get, .head: return .push(.uploadStatus(name, session: session))
        case .delete: return .push(.cancelUpload(name, session: session))
        default: throw notAllowed(method, for: path, allowed: [])
        }
    }

    private static func repository(
        _ segments: ArraySlice<Substring>,
        of path: Substring
    ) throws(RegistryError) -> RepositoryName {
        var name: Substring = ""
        if let first = segments.first, let last = segments.last { name = path[first.startIndex..<last.endIndex] }
        do throws(OCIError) {
            return try RepositoryName(String(name))
        } catch {
            throw RegistryError(.nameInvalid, message: error.message)
        }
    }

    private static func digest(_ segment: Substring) throws(RegistryError) -> Digest {
        do throws(OCIError) {
            return try Digest(decodingColon(segment))
        } catch {
            throw RegistryError(.digestInvalid, message: error.message)
        }
    }

    /// Some client libraries encode every path segment, and with it the colon of a digest. No other character of a
    /// reference needs encoding, so none is decoded.
    private static func decodingColon(_ segment: Substring) -> String {
        guard let percent = segment.utf8.firstIndex(of: UInt8(ascii: "%")) else { return String(segment) }
        let escape = segment[percent...].prefix(3)
        guard escape == "%3A" || escape == "%3a" else { return String(segment) }
        return segment[..<percent] + ":" + segment[escape.endIndex...]
    }

    private static func check(
        _ method: HTTPRequest.Method,
        for path: Substring,
        allowed: [HTTPRequest.Method]
    ) throws(RegistryError) {
        guard allowed.contains(method) else { throw notAllowed(method, for: path, allowed: allowed) }
    }

    private static func notAllowed(
        _ method: HTTPRequest.Method,
        for path: Substring,
        allowed: [HTTPRequest.Method]
    ) -> RegistryError {
        RegistryError(
            .unsupported,
            status: 405,
            message: "\(path.quoted) does not support method \(method.rawValue.quoted)",
            allowedMethods: allowed
        )
    }

    private static func noEndpoint(_ path: Substring) -> RegistryError {
        RegistryError(.unsupported, status: 404, message: "\(path.quoted) is not an endpoint of this registry")
    }
}
