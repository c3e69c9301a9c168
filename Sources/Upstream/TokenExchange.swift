// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTransport
import HTTPTypes
import Models

/// One way to ask a token server (distribution's token and OAuth2 specifications).
enum TokenExchange: Hashable {
    /// `GET realm?service=…&scope=…`, with Basic credentials if there are any.
    case get(UpstreamCredentials?)
    /// `POST realm` with a refresh token, or with an identity token in its place.
    case refresh(String)
    /// `POST realm` with user name and password, for servers that know no GET.
    case password(UpstreamCredentials)

    /// User name under which registries hand out identity tokens in place of passwords.
    private static let identityTokenUser = "00000000-0000-0000-0000-000000000000"
    private static let clientID = "entrepot"

    /// Ways in the order in which they are tried. A server that doesn't know a way says so by its status.
    static func ways(_ credentials: UpstreamCredentials?, refreshToken: String?) -> [TokenExchange] {
        var ways: [TokenExchange] = []
        if let refreshToken { ways.append(.refresh(refreshToken)) }
        guard let credentials else { return ways + [.get(nil)] }
        if credentials.username == identityTokenUser { ways.append(.refresh(credentials.password)) }
        return ways + [.get(credentials), .password(credentials)]
    }

    /// Whether a status means that another way may be worth trying.
    static func isRefusalOfTheWay(_ status: Int) -> Bool { [400, 401, 404, 405].contains(status) }

    func request(_ realm: TokenRealm, scope: String) -> HTTPTransportRequest {
        var request: HTTPTransportRequest
        switch self {
        case .get(let credentials):
            request = HTTPTransportRequest(url: realm.url(scope: scope, wantsRefreshToken: credentials != nil))
            if let credentials { request.headers[.authorization] = credentials.basic }
        case .refresh(let token):
            request = Self.form(realm, scope, ["grant_type": "refresh_token", "refresh_token": token])
        case .password(let credentials):
            request = Self.form(
                realm,
                scope,
                ["grant_type": "password", "username": credentials.username, "password": credentials.password]
            )
        }
        request.headers[.accept] = "application/json"
        return request
    }

    private static func form(_ realm: TokenRealm, _ scope: String, _ grant: [String: String]) -> HTTPTransportRequest {
        var fields = grant.merging(
            ["service": realm.service, "client_id": clientID, "access_type": "offline"]
        ) { $1 }
        if !scope.isEmpty { fields["scope"] = scope }
        let text = fields.sorted { $0.key < $1.key }
            .map { "\($0.key)=\(TokenRealm.encoded($0.value))" }.joined(separator: "&")
        var request = HTTPTransportRequest(method: .post, url: realm.address, body: .bytes(Array(text.utf8)))
        request.headers[.contentType] = "application/x-www-form-urlencoded"
        return request
    }
}

extension UpstreamCredentials {
    /// Value of an Authorization header (RFC 7617).
    var basic: String { "Basic " + Data("\(username):\(password)".utf8).base64EncodedString() }
}

/// What a token server answers.
struct TokenReply {
    /// The specification's default when `expires_in` is missing.
    private static let defaultLifetime: Duration = .seconds(60)
    private static let longestLifetime: Duration = .seconds(3_600)

    let token: String
    let lifetime: Duration
    let refreshToken: String?

    /// Nil when there is no usable token in it.
    init?(_ bytes: [UInt8]) {
        struct Body: Decodable {
            var token: String?
            var access_token: String?
            var expires_in: Double?
            var refresh_token: String?
        }
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(bytes)),  // any failure is the same answer
            let token = [body.token, body.access_token].compactMap({ $0 }).first(where: { !$0.isEmpty }),
            Self.isToken(token)
        else { return nil }
        self.token = token
        let said = body.expires_in.map { Duration.seconds(min(max($0, 0), 86_400)) }
        lifetime = min(said ?? Self.defaultLifetime, Self.longestLifetime)
        refreshToken = body.refresh_token.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The token68 form of RFC 9110 section 11.2, so that nothing else can get into the header.
    private static func isToken(_ text: String) -> Bool {
        text.utf8.count <= 65_536
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || [0x2D, 0x2E, 0x5F, 0x7E, 0x2B, 0x2F, 0x3D].contains(byte)
            }
    }
}
