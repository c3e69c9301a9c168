// SPDX-License-Identifier: Apache-2.0

/// What an administrator changes of an organization itself. Nil: as it is.
package struct OrganizationSettings: Sendable, Hashable {
    /// Whether everybody may pull, logged in or not.
    package var isPublic: Bool?
    /// How long ended tags can be revived, in seconds; `.some(nil)` is as long as the deployment says.
    package var timeMachineSeconds: Int64??
    /// Whether the time machine remembers pruned tags.
    package var keepsPruned: Bool?
    /// Of findings for which an image is refused; `.some(nil)` refuses none.
    package var blockSeverity: Severity??
    package var unscanned: UnscannedPolicy?

    package init() {}
}
