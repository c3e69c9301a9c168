// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Models
import OCI

/// A request that may be answered: who asks, for what, with everything checked that could be checked beforehand.
struct Call: Sendable {
    let context: APIContext
    let query: Fields
    let body: Fields
    private let place: Place

    /// What a path names, as far as its operation needs to know.
    enum Place: Sendable {
        case nowhere
        case organization(Organization)
        case repository(Organization, RepositoryName)
    }

    init(context: APIContext, query: Fields, body: Fields, place: Place) {
        self.context = context
        self.query = query
        self.body = body
        self.place = place
    }

    var account: Account {
        get throws { try context.caller() }
    }

    /// The organization of the path. Throws ``APIError`` in an operation whose path names none.
    var organization: Organization {
        get throws {
            switch place {
            case .nowhere: throw APIError.notFound("Not Found")
            case .organization(let organization), .repository(let organization, _): organization
            }
        }
    }

    /// The repository of the path by its name inside the organization; it need not be there.
    var repository: RepositoryName {
        get throws {
            guard case .repository(_, let name) = place else { throw APIError.notFound("Not Found") }
            return name
        }
    }

    /// A part of the path.
    func parameter(_ name: String) throws -> String { try context.pathParameter(name) }

    /// Throws ``APIError`` 404 for a number that nothing can have.
    func number(_ name: String) throws -> Int64 {
        guard let number = Int64(try parameter(name)) else { throw APIError.notFound("Not Found") }
        return number
    }
}
