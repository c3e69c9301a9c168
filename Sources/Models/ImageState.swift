// SPDX-License-Identifier: Apache-2.0

/// How much of an image is here.
package struct ImageState: Sendable, Hashable, CustomStringConvertible {
    /// Children of an index.
    package struct Children: Sendable, Hashable {
        /// Those whose manifests are here.
        package let present: Int
        package let listed: Int

        package init(present: Int, listed: Int) {
            self.present = present
            self.listed = listed
        }
    }

    /// Distinct blobs, configurations included. Of an index: its own and those of the children that are here. Foreign layers
    /// count when they are here.
    package let presentBlobs: Int
    package let totalBlobs: Int
    package let presentBytes: Int64
    package let totalBytes: Int64
    /// Nil for anything but an index.
    package let children: Children?

    package init(
        presentBlobs: Int,
        totalBlobs: Int,
        presentBytes: Int64,
        totalBytes: Int64,
        children: Children? = nil
    ) {
        self.presentBlobs = presentBlobs
        self.totalBlobs = totalBlobs
        self.presentBytes = presentBytes
        self.totalBytes = totalBytes
        self.children = children
    }

    /// Whether it can be served without its upstream. An index: as far as its children that are here are concerned, of
    /// which there has to be one.
    package var isComplete: Bool {
        guard presentBlobs == totalBlobs else { return false }
        guard let children else { return true }
        return children.present > 0 || children.listed == 0
    }

    /// `complete`, or `fetching n/m` in blobs.
    package var state: String { isComplete ? "complete" : "fetching \(presentBlobs)/\(totalBlobs)" }

    /// The state; of an index with the number of its images that are here.
    package var description: String {
        guard let children else { return state }
        return state + " (\(children.present) of \(children.listed) images)"
    }
}

/// What an organization has.
package struct OrganizationSummary: Sendable, Hashable {
    package let name: OrganizationName
    /// Live tags.
    package let tags: Int
    /// Images and artifacts, each once per repository; indexes aren't counted.
    package let completeImages: Int
    package let incompleteImages: Int

    package init(name: OrganizationName, tags: Int, completeImages: Int, incompleteImages: Int) {
        self.name = name
        self.tags = tags
        self.completeImages = completeImages
        self.incompleteImages = incompleteImages
    }
}
