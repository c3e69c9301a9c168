// SPDX-License-Identifier: Apache-2.0

import Accounts
import Hummingbird
import Logging
import Models

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

    init(source: APISource) {
        coreContext = CoreRequestContextStorage(source: source)
        address = source.address
    }

    /// Who asks. Throws ``APIError`` 401 for somebody who hasn't logged in.
    func caller() throws -> Account {
        guard let account else { throw APIError.unauthenticated }
        return account
    }
}
