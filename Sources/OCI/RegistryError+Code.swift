// SPDX-License-Identifier: Apache-2.0

extension RegistryError {
    /// An error code: the fourteen of distribution-spec "Error Codes", and three that registries agree on.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case blobUnknown = "BLOB_UNKNOWN"
            case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
            case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
            case digestInvalid = "DIGEST_INVALID"
            case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
            case manifestInvalid = "MANIFEST_INVALID"
            case manifestUnknown = "MANIFEST_UNKNOWN"
            case nameInvalid = "NAME_INVALID"
            case nameUnknown = "NAME_UNKNOWN"
            case sizeInvalid = "SIZE_INVALID"
            case unauthorized = "UNAUTHORIZED"
            case denied = "DENIED"
            case unsupported = "UNSUPPORTED"
            case tooManyRequests = "TOOMANYREQUESTS"
            case rangeInvalid = "RANGE_INVALID"
            case unavailable = "UNAVAILABLE"
            case unknown = "UNKNOWN"
        }

        private let kind: Kind

        /// code-1: the blob is not known to the registry.
        package static let blobUnknown = Code(kind: .blobUnknown)
        /// code-2: the upload is not valid.
        package static let blobUploadInvalid = Code(kind: .blobUploadInvalid)
        /// code-3: the upload is not known to the registry.
        package static let blobUploadUnknown = Code(kind: .blobUploadUnknown)
        /// code-4: the digest is malformed or does not match the content.
        package static let digestInvalid = Code(kind: .digestInvalid)
        /// code-5: a manifest refers to something the registry does not have.
        package static let manifestBlobUnknown = Code(kind: .manifestBlobUnknown)
        /// code-6: the manifest, or the tag it is asked by, is not valid.
        package static let manifestInvalid = Code(kind: .manifestInvalid)
        /// code-7: the manifest is not known to the registry.
        package static let manifestUnknown = Code(kind: .manifestUnknown)
        /// code-8: the repository name is not valid.
        package static let nameInvalid = Code(kind: .nameInvalid)
        /// code-9: the repository is not known to the registry.
        package static let nameUnknown = Code(kind: .nameUnknown)
        /// code-10: a length does not match the content.
        package static let sizeInvalid = Code(kind: .sizeInvalid)
        /// code-11: credentials are needed.
        package static let unauthorized = Code(kind: .unauthorized)
        /// code-12: the credentials do not allow this.
        package static let denied = Code(kind: .denied)
        /// code-13: the operation is not supported.
        package static let unsupported = Code(kind: .unsupported)
        /// code-14: slow down.
        package static let tooManyRequests = Code(kind: .tooManyRequests)
        /// The range lies outside the content.
        package static let rangeInvalid = Code(kind: .rangeInvalid)
        /// Something that is needed for the answer cannot be reached for now.
        package static let unavailable = Code(kind: .unavailable)
        /// Nothing that has a code of its own.
        package static let unknown = Code(kind: .unknown)

        /// The code as it is written in a response body.
        package var rawValue: String { kind.rawValue }

        /// Same as ``rawValue``.
        package var description: String { kind.rawValue }

        /// The HTTP status that goes with the code unless the error says another.
        package var defaultStatus: Int {
            switch kind {
            case .blobUnknown, .blobUploadUnknown, .manifestBlobUnknown, .manifestUnknown, .nameUnknown: 404
            case .digestInvalid, .manifestInvalid, .nameInvalid, .sizeInvalid, .unsupported: 400
            case .unauthorized: 401
            case .denied: 403
            case .blobUploadInvalid, .rangeInvalid: 416
            case .tooManyRequests: 429
            case .unavailable: 503
            case .unknown: 500
            }
        }
    }
}
