// SPDX-License-Identifier: Apache-2.0

/// What an image of an index runs on, in the words of the Go runtime (image-spec "Image Index").
///
/// Both fields may be empty or `unknown`: build tools list attestations that way.
package struct Platform: Hashable, Sendable {
    /// Operating system, such as `linux`.
    package let os: String
    /// CPU architecture, such as `arm64`.
    package let architecture: String
    /// Variant of the CPU, such as `v8`.
    package let variant: String?
    /// Version of the operating system; used for Windows.
    package let osVersion: String?
    /// Features that the operating system must have, such as `win32k`.
    package let osFeatures: [String]?

    /// Takes the fields as they are.
    package init(
        os: String,
        architecture: String,
        variant: String? = nil,
        osVersion: String? = nil,
        osFeatures: [String]? = nil
    ) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
        self.osVersion = osVersion
        self.osFeatures = osFeatures
    }

    /// Reads `os/architecture[/variant]`, the form that people write in configuration and on command lines.
    ///
    /// - Throws: ``OCIError`` with code `invalidPlatform`.
    package init(_ string: String) throws(OCIError) {
        let parts = string.split(separator: "/", omittingEmptySubsequences: false)
        let isWellFormed = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(\.isUnreserved) }
        guard (2...3).contains(parts.count), isWellFormed else {
            throw OCIError(.invalidPlatform, "platform \(string.quoted) is not os/architecture[/variant]")
        }
        self.init(
            os: parts[0].lowercasedASCII,
            architecture: parts[1].lowercasedASCII,
            variant: parts.count == 3 ? parts[2].lowercasedASCII : nil
        )
    }

    /// Whether an image for this platform is what `wanted` asks for: same system and architecture, and the same
    /// variant when one is asked for. `arm64` and `arm64/v8` are the same machine.
    package func satisfies(_ wanted: Platform) -> Bool {
        guard os == wanted.os, architecture == wanted.architecture else { return false }
        guard let wantedVariant = wanted.variant else { return true }
        return (variant ?? impliedVariant) == wantedVariant
    }

    private var impliedVariant: String? { architecture == "arm64" ? "v8" : nil }
}

extension Platform: CustomStringConvertible {
    /// `os/architecture[/variant]`.
    package var description: String { ([os, architecture] + (variant.map { [$0] } ?? [])).joined(separator: "/") }
}

extension Platform: Codable {
    private enum CodingKeys: String, CodingKey {
        case os
        case architecture
        case variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }

    /// Reads the `platform` of a descriptor; missing fields count as empty, as Go programs write them.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        os = try container.decodeIfPresent(String.self, forKey: .os) ?? ""
        architecture = try container.decodeIfPresent(String.self, forKey: .architecture) ?? ""
        variant = try container.decodeNonEmptyString(forKey: .variant)
        osVersion = try container.decodeNonEmptyString(forKey: .osVersion)
        osFeatures = try container.decodeIfPresent([String].self, forKey: .osFeatures)
    }
}
