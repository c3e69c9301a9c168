// SPDX-License-Identifier: Apache-2.0

extension ScriptedUpstream {
    /// How clients prove themselves, in the manner of one registry or another.
    package struct Bearer: Sendable {
        /// Token server that challenges name; nil for our own `/token`.
        package var realm: String?
        /// `WWW-Authenticate` lines; `{realm}` stands for the realm.
        package var challenges = ["Bearer realm=\"{realm}\",service=\"scripted, upstream\",scope=\"x\""]
        /// Those of HEAD, where they are others.
        package var headChallenges: [String]?
        /// What the token server answers; `{token}` stands for the token.
        package var reply = "{\"token\":\"{token}\"}"
        /// Authorization that GET at the token server has to carry; nil for none.
        package var basic: String?
        /// Status of a GET without it.
        package var anonymousStatus = 401
        /// Status of every GET, or POST, at the token server, where it knows no such way.
        package var getStatus: Int?
        package var postStatus: Int? = 405
        /// What the form of a POST has to contain.
        package var form: [String] = []
        /// Status of one that doesn't.
        package var formStatus = 401
        /// Status with which the registry answers a token that isn't good any more.
        package var expiredStatus = 401
        /// Authorization that the registry itself takes in place of a token.
        package var registryBasic: String?

        package init(realm: String? = nil) { self.realm = realm }
    }
}
