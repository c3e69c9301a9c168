-- SPDX-License-Identifier: Apache-2.0
-- Proof of what is counted, without tables of its own: finding that everything is right is a look.

DROP FUNCTION check_usage(bigint, boolean);

-- Memberships of an organization, and whether what keeps them says that they are alive.
CREATE FUNCTION expected_liveness(organization bigint)
RETURNS TABLE (repository_id bigint, manifest_id bigint, was_live boolean, is_live boolean)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE members AS MATERIALIZED (
        SELECT rm.repository_id, rm.manifest_id, rm.released_at, rm.held_until, rm.is_bypassed
        FROM repository r JOIN repository_manifest rm ON rm.repository_id = r.id WHERE r.organization_id = $1
    ), alive AS (
        SELECT m.repository_id, m.manifest_id FROM members m
        WHERE NOT m.is_bypassed AND (m.held_until IS NOT NULL OR EXISTS (
            SELECT 1 FROM tag t WHERE t.repository_id = m.repository_id AND t.manifest_id = m.manifest_id
                AND t.lifetime_end_at IS NULL
        ))
        UNION
        SELECT m.repository_id, m.manifest_id
        FROM alive a
        JOIN manifest_child c ON c.parent_id = a.manifest_id
        JOIN manifest child ON child.digest = c.digest
        JOIN members m ON m.repository_id = a.repository_id AND m.manifest_id = child.id
        WHERE NOT m.is_bypassed
    )
    SELECT m.repository_id, m.manifest_id, m.released_at IS NULL, a.manifest_id IS NOT NULL
    FROM members m LEFT JOIN alive a ON a.repository_id = m.repository_id AND a.manifest_id = m.manifest_id
$$;

-- What repository_content has to be summed up to, and for repository 0 organization_content.
CREATE FUNCTION expected_sums(organization bigint)
RETURNS TABLE (repository_id bigint, used_bytes bigint, reserved_bytes bigint, reclaimable_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT c.repository_id,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND c.is_present), 0)::bigint,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND NOT c.is_present), 0)::bigint,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders <= 0 AND c.is_present), 0)::bigint
    FROM (
        SELECT r.id AS repository_id, c.size_bytes, c.live_holders, c.is_present
        FROM repository r LEFT JOIN repository_content c ON c.repository_id = r.id WHERE r.organization_id = $1
        UNION ALL
        SELECT 0, c.size_bytes, c.live_holders, c.is_present FROM organization_content c WHERE c.organization_id = $1
        UNION ALL
        SELECT 0, NULL, NULL, NULL
    ) c GROUP BY c.repository_id
$$;

-- How many rows are wrong. Exact in a snapshot (REPEATABLE READ), or under the organization's lock.
CREATE FUNCTION usage_drift(organization bigint, OUT memberships bigint, OUT contents bigint, OUT sums bigint)
LANGUAGE sql STABLE AS $$
    WITH expected AS MATERIALIZED (
        SELECT * FROM expected_content e WHERE e.organization_id = $1
    ), whole AS (
        SELECT e.digest, e.is_manifest, e.size_bytes, e.is_present,
            sum(e.holders)::integer AS holders, sum(e.live_holders)::integer AS live_holders
        FROM expected e GROUP BY e.digest, e.is_manifest, e.size_bytes, e.is_present
    )
    SELECT (
        SELECT count(*) FROM expected_liveness($1) l WHERE l.was_live <> l.is_live
    ), (
        SELECT count(*) FROM (
            SELECT c.* FROM repository r JOIN repository_content c ON c.repository_id = r.id WHERE r.organization_id = $1
        ) c FULL JOIN expected e USING (repository_id, digest, is_manifest)
        WHERE (c.size_bytes, c.is_present, c.holders, c.live_holders)
            IS DISTINCT FROM (e.size_bytes, e.is_present, e.holders, e.live_holders)
    ) + (
        SELECT count(*) FROM (
            SELECT c.* FROM organization_content c WHERE c.organization_id = $1
        ) c FULL JOIN whole e USING (digest, is_manifest)
        WHERE (c.size_bytes, c.is_present, c.holders, c.live_holders)
            IS DISTINCT FROM (e.size_bytes, e.is_present, e.holders, e.live_holders)
    ), (
        SELECT count(*) FROM expected_sums($1) e
        LEFT JOIN repository_usage u ON u.repository_id = e.repository_id
        LEFT JOIN organization_usage o ON e.repository_id = 0 AND o.organization_id = $1
        WHERE (coalesce(u.used_bytes, o.used_bytes), coalesce(u.reserved_bytes, o.reserved_bytes),
            coalesce(u.reclaimable_bytes, o.reclaimable_bytes))
            <> (e.used_bytes, e.reserved_bytes, e.reclaimable_bytes)
    )
$$;

-- Counts an organization anew. Its lock is held.
CREATE FUNCTION repair_usage(organization bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE repository_manifest rm SET released_at = CASE WHEN l.is_live THEN NULL ELSE clock_timestamp() END
    FROM expected_liveness(organization) l
    WHERE rm.repository_id = l.repository_id AND rm.manifest_id = l.manifest_id AND l.was_live <> l.is_live;

    DELETE FROM repository_content c USING repository r
    WHERE c.repository_id = r.id AND r.organization_id = organization;
    DELETE FROM organization_content c WHERE c.organization_id = organization;
    INSERT INTO repository_content (repository_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
    SELECT e.repository_id, e.digest, e.is_manifest, e.size_bytes, e.is_present, e.holders, e.live_holders
    FROM expected_content e WHERE e.organization_id = organization;
    INSERT INTO organization_content (organization_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
    SELECT organization, c.digest, c.is_manifest, c.size_bytes, c.is_present, sum(c.holders), sum(c.live_holders)
    FROM repository r JOIN repository_content c ON c.repository_id = r.id WHERE r.organization_id = organization
    GROUP BY c.digest, c.is_manifest, c.size_bytes, c.is_present;

    UPDATE repository_usage u
    SET used_bytes = e.used_bytes, reserved_bytes = e.reserved_bytes, reclaimable_bytes = e.reclaimable_bytes
    FROM expected_sums(organization) e WHERE u.repository_id = e.repository_id;
    UPDATE organization_usage u
    SET used_bytes = e.used_bytes, reserved_bytes = e.reserved_bytes, reclaimable_bytes = e.reclaimable_bytes
    FROM expected_sums(organization) e WHERE e.repository_id = 0 AND u.organization_id = organization;
END
$$;
