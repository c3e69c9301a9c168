// SPDX-License-Identifier: Apache-2.0

import Accounts
import Hummingbird
import Logging
import Models
import OCI

/// Where a request of the API came from.
struct APISource: RequestContextSource {
    let logger: Logger
    let address: String
}

/// What routes know of a request beside itself.
struct APIContext: RequestContext {
    typealias Source = APISource

    var coreContext: CoreRequestContextStorage
    let address: String
    /// Set by ``APIAuthentication``.
    var account: Account?
    /// The token that the caller sent in place of a password.
    var credential: AccessTokenID?

    init(source: APISource) {
        coreContext = CoreRequestContextStorage(source: source)
        address = source.address
    }

    /// A part of the path, without its escapes. Throws ``APIError`` 404 for one that can't be the name of anything.
    func pathParameter(_ name: String) throws -> String {
        guard let text = PercentEncoding.decode(try parameters.require(name)), !text.utf8.contains(0) else {
            throw APIError.notFound("Not Found")
        }
        return text
    }

    /// Who asks. Throws ``APIError`` 401 for somebody who hasn't logged in.
    func caller() throws -> Account {
        guard let account else { throw APIError.unauthenticated }
        return account
    }
}
