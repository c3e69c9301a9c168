// SPDX-License-Identifier: Apache-2.0

/// Tags that are made from the digest of a manifest, because what they name is attached to it.
package enum SignatureTag {
    /// Suffixes that cosign gives to signatures, attestations and bills of materials.
    private static let suffixes = [".sig", ".att", ".sbom"]

    /// The tag under which referrers are listed where a registry has no API for them: the algorithm cut to 32 characters,
    /// the encoded part to 64 (distribution-spec "Referrers Tag Schema").
    package static func referrers(of subject: Digest) -> TagName {
        TagName(unchecked: "\(subject.algorithm.rawValue.prefix(32))-\(subject.hex.prefix(64))")
    }

    /// The manifest that a tag's content is attached to: of `sha256-<hex>`, alone or with one of cosign's suffixes. Nil
    /// for any other tag.
    package static func subject(of tag: TagName) -> Digest? {
        var text = tag.rawValue[...]
        if let suffix = suffixes.first(where: text.hasSuffix) { text = text.dropLast(suffix.count) }
        guard let dash = text.firstIndex(of: "-") else { return nil }
        // Only sha256 fits whole: of longer ones the tag holds a part.
        return Digest(rawValue: text[..<dash] + ":" + text[text.index(after: dash)...])
    }
}
