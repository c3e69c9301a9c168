-- SPDX-License-Identifier: Apache-2.0
-- How much organizations use, what keeps content alive, and what the collector works on.
--
-- Lock order, for everybody: the organization's row of organization_usage first (several in the order of their ids), then
-- blobs in the order of their digests, then manifests, then the rest. Whatever changes what is alive in an organization
-- holds that row, so all of it happens one after the other, and each statement sees what the one before committed.

ALTER TABLE organization
    -- whether pruned tags can be revived for as long as other ended ones
    ADD COLUMN keeps_pruned boolean NOT NULL DEFAULT false;

ALTER TABLE blob
    -- what the first manifest that named it says, until the bytes are there and tell the truth: what is counted
    ADD COLUMN declared_bytes bigint NOT NULL DEFAULT 0 CHECK (declared_bytes >= 0),
    -- since when no manifest names it; storing one that does clears this
    ADD COLUMN condemned_at   timestamptz,
    -- when its bytes were last read and compared with the digest
    ADD COLUMN scrubbed_at    timestamptz;
UPDATE blob b SET declared_bytes = coalesce(
    size_bytes, (SELECT min(size_bytes) FROM manifest_blob mb WHERE mb.digest = b.digest), 0);
CREATE INDEX blob_condemned ON blob (condemned_at) WHERE condemned_at IS NOT NULL;
CREATE INDEX blob_read ON blob ((coalesce(scrubbed_at, placed_at))) WHERE generation IS NOT NULL;
CREATE INDEX blob_placed_by_prefix ON blob (digest text_pattern_ops) WHERE generation IS NOT NULL;

-- A manifest is alive in a repository as long as a live tag names it, a living index lists it, or it is held.
ALTER TABLE repository_manifest
    -- since when it isn't; NULL while it is
    ADD COLUMN released_at  timestamptz DEFAULT clock_timestamp(),
    -- of what was pulled by digest alone; renewed by such pulls
    ADD COLUMN held_until   timestamptz,
    -- streamed to a client, not to be kept: never alive
    ADD COLUMN is_bypassed  boolean NOT NULL DEFAULT false,
    -- larger than the quota when it was stored, and kept all the same
    ADD COLUMN is_oversized boolean NOT NULL DEFAULT false;
CREATE INDEX repository_manifest_released ON repository_manifest (released_at) WHERE released_at IS NOT NULL;
CREATE INDEX repository_manifest_held ON repository_manifest (held_until) WHERE held_until IS NOT NULL;
CREATE INDEX tag_ended ON tag (lifetime_end_at) WHERE lifetime_end_at IS NOT NULL;

-- Sums over organization_content. Its row is the organization's lock.
CREATE TABLE organization_usage (
    organization_id   bigint PRIMARY KEY REFERENCES organization ON DELETE CASCADE,
    -- alive, and here
    used_bytes        bigint NOT NULL DEFAULT 0,
    -- alive, and not here yet
    reserved_bytes    bigint NOT NULL DEFAULT 0,
    -- here, and not alive any more
    reclaimable_bytes bigint NOT NULL DEFAULT 0,
    -- when the sums were last compared with what is there
    proved_at         timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

CREATE TABLE repository_usage (
    repository_id     bigint PRIMARY KEY REFERENCES repository ON DELETE CASCADE,
    used_bytes        bigint NOT NULL DEFAULT 0,
    reserved_bytes    bigint NOT NULL DEFAULT 0,
    reclaimable_bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Each blob and each manifest once per organization, and once per repository. Counted are the memberships
-- (repository_manifest) whose manifest is it or names it.
CREATE TABLE organization_content (
    organization_id bigint NOT NULL REFERENCES organization ON DELETE CASCADE,
    digest          text NOT NULL,
    is_manifest     boolean NOT NULL,
    size_bytes      bigint NOT NULL,
    is_present      boolean NOT NULL,
    holders         integer NOT NULL,
    live_holders    integer NOT NULL,
    PRIMARY KEY (organization_id, digest, is_manifest)
) WITH (fillfactor = 80);
CREATE INDEX organization_content_by_digest ON organization_content (digest);

CREATE TABLE repository_content (
    repository_id bigint NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest        text NOT NULL,
    is_manifest   boolean NOT NULL,
    size_bytes    bigint NOT NULL,
    is_present    boolean NOT NULL,
    holders       integer NOT NULL,
    live_holders  integer NOT NULL,
    PRIMARY KEY (repository_id, digest, is_manifest)
) WITH (fillfactor = 80);
CREATE INDEX repository_content_by_digest ON repository_content (digest);

-- What may be without a reference now; the collector looks again. Only ever added to, so that nobody waits for it.
CREATE TABLE manifest_candidate (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    manifest_id bigint NOT NULL
);
CREATE TABLE blob_candidate (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest text NOT NULL
);

-- Stored objects that no row speaks of any more; the bytes go next.
CREATE TABLE garbage (
    generation uuid PRIMARY KEY,
    digest     text NOT NULL,
    size_bytes bigint NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX garbage_by_age ON garbage (since);

-- What the collector has done, by kind.
CREATE TABLE collection_total (
    kind    text PRIMARY KEY,
    items   bigint NOT NULL DEFAULT 0,
    bytes   bigint NOT NULL DEFAULT 0,
    last_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE quota_threshold
    -- since when usage is at it; NULL: whoever crosses it next is told of
    ADD COLUMN crossed_at timestamptz;

-- MARK: Content

CREATE FUNCTION content_of(manifest bigint)
RETURNS TABLE (digest text, is_manifest boolean, size_bytes bigint, is_present boolean)
LANGUAGE sql STABLE AS $$
    SELECT b.digest, false, b.declared_bytes, b.generation IS NOT NULL
    FROM (SELECT DISTINCT mb.digest FROM manifest_blob mb WHERE mb.manifest_id = $1) named
    JOIN blob b ON b.digest = named.digest
    UNION ALL SELECT m.digest, true, m.size_bytes, true FROM manifest m WHERE m.id = $1
$$;

CREATE FUNCTION change_content(organization bigint, repository bigint, manifest bigint, more integer, more_live integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO repository_content AS c
        (repository_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
    SELECT repository, i.digest, i.is_manifest, i.size_bytes, i.is_present, more, more_live FROM content_of(manifest) i
    ON CONFLICT (repository_id, digest, is_manifest) DO UPDATE
    SET holders = c.holders + excluded.holders, live_holders = c.live_holders + excluded.live_holders;
    INSERT INTO organization_content AS c
        (organization_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
    SELECT organization, i.digest, i.is_manifest, i.size_bytes, i.is_present, more, more_live FROM content_of(manifest) i
    ON CONFLICT (organization_id, digest, is_manifest) DO UPDATE
    SET holders = c.holders + excluded.holders, live_holders = c.live_holders + excluded.live_holders;
    IF more < 0 THEN
        DELETE FROM repository_content c USING content_of(manifest) i
        WHERE c.repository_id = repository AND c.digest = i.digest AND c.is_manifest = i.is_manifest AND c.holders <= 0;
        DELETE FROM organization_content c USING content_of(manifest) i
        WHERE c.organization_id = organization AND c.digest = i.digest AND c.is_manifest = i.is_manifest
            AND c.holders <= 0;
    END IF;
END
$$;

-- Adds what a statement changed to the sums, one row at a time, so that each is found by its key. Organizations and
-- repositories are summed alike, and a trigger sees the old rows, the new ones or both by what the statement does: all six
-- functions are made of this one text, each with plans of its own.
DO $generate$
DECLARE
    holder text;
    operation text;
    tables text;
    rows text;
    old_rows text;
    new_rows text;
BEGIN
    FOREACH holder IN ARRAY ARRAY['organization', 'repository'] LOOP
        EXECUTE format($text$
            CREATE FUNCTION add_%1$s_usage(%1$s bigint, used bigint, reserved bigint, reclaimable bigint)
            RETURNS void LANGUAGE sql AS $body$
                UPDATE %1$s_usage
                SET used_bytes = used_bytes + $2, reserved_bytes = reserved_bytes + $3,
                    reclaimable_bytes = reclaimable_bytes + $4
                WHERE %1$s_id = $1 AND ($2, $3, $4) <> (0, 0, 0)
            $body$
            $text$, holder);
        new_rows := format('SELECT %s_id AS id, size_bytes AS bytes, live_holders > 0 AS is_live, is_present FROM new_rows',
            holder);
        old_rows := format('SELECT %s_id AS id, -size_bytes AS bytes, live_holders > 0 AS is_live, is_present FROM old_rows',
            holder);
        FOR operation, tables, rows IN VALUES
            ('insert', 'NEW TABLE AS new_rows', new_rows),
            ('update', 'OLD TABLE AS old_rows NEW TABLE AS new_rows', new_rows || ' UNION ALL ' || old_rows),
            ('delete', 'OLD TABLE AS old_rows', old_rows)
        LOOP
            EXECUTE format($text$
                CREATE FUNCTION sum_%1$s_content_%2$s() RETURNS trigger LANGUAGE plpgsql AS $body$
                DECLARE
                    change record;
                BEGIN
                    FOR change IN
                        SELECT id,
                            coalesce(sum(bytes) FILTER (WHERE is_live AND is_present), 0)::bigint AS used,
                            coalesce(sum(bytes) FILTER (WHERE is_live AND NOT is_present), 0)::bigint AS reserved,
                            coalesce(sum(bytes) FILTER (WHERE NOT is_live AND is_present), 0)::bigint AS reclaimable
                        FROM (%4$s) changed GROUP BY id ORDER BY id
                    LOOP
                        PERFORM add_%1$s_usage(change.id, change.used, change.reserved, change.reclaimable);
                    END LOOP;
                    RETURN NULL;
                END
                $body$;
                CREATE TRIGGER sum_%2$s AFTER %2$s ON %1$s_content REFERENCING %3$s
                    FOR EACH STATEMENT EXECUTE FUNCTION sum_%1$s_content_%2$s()
                $text$, holder, operation, tables, rows);
        END LOOP;
    END LOOP;
END
$generate$;

-- The bytes of a blob came or went. Who does that holds the rows of all organizations that have the blob.
CREATE FUNCTION tell_true_size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size_bytes IS NOT NULL THEN NEW.declared_bytes := NEW.size_bytes; END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER tell_true_size BEFORE INSERT OR UPDATE OF size_bytes ON blob
    FOR EACH ROW EXECUTE FUNCTION tell_true_size();

CREATE FUNCTION change_presence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE repository_content c SET is_present = NEW.generation IS NOT NULL, size_bytes = NEW.declared_bytes
    WHERE c.digest = NEW.digest AND NOT c.is_manifest;
    UPDATE organization_content c SET is_present = NEW.generation IS NOT NULL, size_bytes = NEW.declared_bytes
    WHERE c.digest = NEW.digest AND NOT c.is_manifest;
    RETURN NULL;
END
$$;
CREATE TRIGGER change_presence AFTER UPDATE OF generation, size_bytes ON blob FOR EACH ROW
    WHEN ((OLD.generation IS NULL) <> (NEW.generation IS NULL) OR OLD.declared_bytes <> NEW.declared_bytes)
    EXECUTE FUNCTION change_presence();

-- MARK: What is alive

-- Judges manifests of a repository anew, and the children of those that changed.
CREATE FUNCTION refresh_liveness(repository bigint, manifests bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rest bigint[] := manifests;
BEGIN
    WHILE cardinality(rest) > 0 LOOP
        WITH judged AS (
            SELECT rm.manifest_id, NOT rm.is_bypassed AND (
                rm.held_until IS NOT NULL
                OR EXISTS (
                    SELECT 1 FROM tag t
                    WHERE t.repository_id = repository AND t.manifest_id = rm.manifest_id AND t.lifetime_end_at IS NULL
                ) OR EXISTS (
                    SELECT 1 FROM manifest m
                    JOIN manifest_child c ON c.digest = m.digest
                    JOIN repository_manifest p ON p.repository_id = repository AND p.manifest_id = c.parent_id
                    WHERE m.id = rm.manifest_id AND p.released_at IS NULL
                )
            ) AS is_live
            FROM repository_manifest rm
            WHERE rm.repository_id = repository AND rm.manifest_id = ANY (rest)
        ), changed AS (
            UPDATE repository_manifest rm
            SET released_at = CASE WHEN j.is_live THEN NULL ELSE clock_timestamp() END
            FROM judged j
            WHERE rm.repository_id = repository AND rm.manifest_id = j.manifest_id
                AND (rm.released_at IS NULL) <> j.is_live
            RETURNING rm.manifest_id
        )
        SELECT coalesce(array_agg(DISTINCT rm.manifest_id), '{}') INTO rest
        FROM changed
        JOIN manifest_child c ON c.parent_id = changed.manifest_id
        JOIN manifest m ON m.digest = c.digest
        JOIN repository_manifest rm ON rm.repository_id = repository AND rm.manifest_id = m.id;
    END LOOP;
END
$$;

CREATE FUNCTION tag_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM refresh_liveness(OLD.repository_id, ARRAY[OLD.manifest_id]);
    ELSE
        PERFORM refresh_liveness(NEW.repository_id, ARRAY[NEW.manifest_id]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tag_began AFTER INSERT ON tag FOR EACH ROW
    WHEN (NEW.lifetime_end_at IS NULL) EXECUTE FUNCTION tag_changed();
CREATE TRIGGER tag_ended AFTER UPDATE OF lifetime_end_at ON tag FOR EACH ROW
    WHEN ((OLD.lifetime_end_at IS NULL) <> (NEW.lifetime_end_at IS NULL)) EXECUTE FUNCTION tag_changed();
CREATE TRIGGER tag_deleted AFTER DELETE ON tag FOR EACH ROW
    WHEN (OLD.lifetime_end_at IS NULL) EXECUTE FUNCTION tag_changed();

CREATE FUNCTION membership_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    organization bigint;
    subject record;
BEGIN
    IF TG_OP = 'DELETE' THEN subject := OLD; ELSE subject := NEW; END IF;
    SELECT organization_id INTO organization FROM repository WHERE id = subject.repository_id;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO repository_usage (repository_id) VALUES (NEW.repository_id) ON CONFLICT DO NOTHING;
        PERFORM change_content(
            organization, NEW.repository_id, NEW.manifest_id, 1, CASE WHEN NEW.released_at IS NULL THEN 1 ELSE 0 END);
        PERFORM refresh_liveness(NEW.repository_id, ARRAY[NEW.manifest_id]);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM change_content(
            organization, NEW.repository_id, NEW.manifest_id, 0, CASE WHEN NEW.released_at IS NULL THEN 1 ELSE -1 END);
    ELSE
        INSERT INTO manifest_candidate (manifest_id) VALUES (OLD.manifest_id);
        -- Repositories take their members along before they go, so this finds them.
        PERFORM change_content(
            organization, OLD.repository_id, OLD.manifest_id, -1, CASE WHEN OLD.released_at IS NULL THEN -1 ELSE 0 END);
        PERFORM refresh_liveness(OLD.repository_id, ARRAY(
            SELECT m.id FROM manifest_child c JOIN manifest m ON m.digest = c.digest WHERE c.parent_id = OLD.manifest_id
        ));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER member_added AFTER INSERT ON repository_manifest FOR EACH ROW EXECUTE FUNCTION membership_changed();
CREATE TRIGGER member_released AFTER UPDATE OF released_at ON repository_manifest FOR EACH ROW
    WHEN ((OLD.released_at IS NULL) <> (NEW.released_at IS NULL)) EXECUTE FUNCTION membership_changed();
CREATE TRIGGER member_removed AFTER DELETE ON repository_manifest FOR EACH ROW EXECUTE FUNCTION membership_changed();

CREATE FUNCTION hold_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refresh_liveness(NEW.repository_id, ARRAY[NEW.manifest_id]);
    RETURN NULL;
END
$$;
CREATE TRIGGER hold_changed AFTER UPDATE OF held_until, is_bypassed ON repository_manifest FOR EACH ROW
    WHEN ((OLD.held_until IS NULL) <> (NEW.held_until IS NULL) OR OLD.is_bypassed <> NEW.is_bypassed)
    EXECUTE FUNCTION hold_changed();

-- Planning costs more than these do, and their plans don't depend on the values.
ALTER FUNCTION change_content(bigint, bigint, bigint, integer, integer) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION refresh_liveness(bigint, bigint[]) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION membership_changed() SET plan_cache_mode = force_generic_plan;

-- MARK: Owners come and go

CREATE FUNCTION organization_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO organization_usage (organization_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER organization_made AFTER INSERT ON organization FOR EACH ROW EXECUTE FUNCTION organization_made();

-- Members are taken away one by one while the rows that they are counted in are still there.
CREATE FUNCTION repository_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM repository_manifest WHERE repository_id = OLD.id;
    RETURN OLD;
END
$$;
CREATE TRIGGER repository_removed BEFORE DELETE ON repository FOR EACH ROW EXECUTE FUNCTION repository_removed();

CREATE FUNCTION organization_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM organization_usage WHERE organization_id = OLD.id FOR UPDATE;
    DELETE FROM repository WHERE organization_id = OLD.id;
    RETURN OLD;
END
$$;
CREATE TRIGGER organization_removed BEFORE DELETE ON organization FOR EACH ROW EXECUTE FUNCTION organization_removed();

CREATE FUNCTION links_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO blob_candidate (digest) SELECT DISTINCT digest FROM old_rows;
    RETURN NULL;
END
$$;
CREATE TRIGGER links_removed AFTER DELETE ON manifest_blob REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION links_removed();

-- MARK: Proof

-- What repository_content has to be, by what memberships say.
CREATE VIEW expected_content AS
SELECT r.organization_id, rm.repository_id, i.digest, i.is_manifest, i.size_bytes, i.is_present,
    count(*)::integer AS holders, (count(*) FILTER (WHERE rm.released_at IS NULL))::integer AS live_holders
FROM repository r
JOIN repository_manifest rm ON rm.repository_id = r.id
CROSS JOIN LATERAL content_of(rm.manifest_id) i
GROUP BY r.organization_id, rm.repository_id, i.digest, i.is_manifest, i.size_bytes, i.is_present;

-- Compares what was counted with what is there, and with `repair` puts it right. Reading alone, it is exact in a
-- snapshot (REPEATABLE READ); to repair, hold the organization's row.
CREATE FUNCTION check_usage(
    organization bigint, repair boolean, OUT memberships bigint, OUT contents bigint, OUT sums bigint
) LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    CREATE TEMPORARY TABLE wrong_member ON COMMIT DROP AS
    WITH RECURSIVE members AS (
        SELECT rm.repository_id, rm.manifest_id, rm.released_at, rm.held_until, rm.is_bypassed
        FROM repository r JOIN repository_manifest rm ON rm.repository_id = r.id
        WHERE r.organization_id = check_usage.organization
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
    SELECT m.repository_id, m.manifest_id, a.manifest_id IS NOT NULL AS is_live
    FROM members m LEFT JOIN alive a USING (repository_id, manifest_id)
    WHERE (m.released_at IS NULL) <> (a.manifest_id IS NOT NULL);
    SELECT count(*) INTO memberships FROM wrong_member;
    IF repair THEN
        UPDATE repository_manifest rm
        SET released_at = CASE WHEN w.is_live THEN NULL ELSE clock_timestamp() END
        FROM wrong_member w WHERE rm.repository_id = w.repository_id AND rm.manifest_id = w.manifest_id;
    END IF;
    DROP TABLE wrong_member;

    CREATE TEMPORARY TABLE expected ON COMMIT DROP AS
    SELECT * FROM expected_content e WHERE e.organization_id = check_usage.organization;
    CREATE TEMPORARY TABLE wrong_content ON COMMIT DROP AS
    SELECT coalesce(c.repository_id, e.repository_id) AS repository_id, coalesce(c.digest, e.digest) AS digest,
        coalesce(c.is_manifest, e.is_manifest) AS is_manifest
    FROM (
        SELECT c.* FROM repository_content c JOIN repository r ON r.id = c.repository_id
        WHERE r.organization_id = check_usage.organization
    ) c FULL JOIN expected e USING (repository_id, digest, is_manifest)
    WHERE (c.size_bytes, c.is_present, c.holders, c.live_holders)
        IS DISTINCT FROM (e.size_bytes, e.is_present, e.holders, e.live_holders);
    SELECT count(*) INTO contents FROM wrong_content;
    IF repair AND contents > 0 THEN
        DELETE FROM repository_content c USING wrong_content w
        WHERE c.repository_id = w.repository_id AND c.digest = w.digest AND c.is_manifest = w.is_manifest;
        INSERT INTO repository_content
            (repository_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
        SELECT e.repository_id, e.digest, e.is_manifest, e.size_bytes, e.is_present, e.holders, e.live_holders
        FROM expected e JOIN wrong_content w USING (repository_id, digest, is_manifest);
    END IF;
    DROP TABLE wrong_content;

    CREATE TEMPORARY TABLE expected_whole ON COMMIT DROP AS
    SELECT digest, is_manifest, size_bytes, is_present,
        sum(holders)::integer AS holders, sum(live_holders)::integer AS live_holders
    FROM expected GROUP BY digest, is_manifest, size_bytes, is_present;
    DROP TABLE expected;
    CREATE TEMPORARY TABLE wrong_content ON COMMIT DROP AS
    SELECT coalesce(c.digest, e.digest) AS digest, coalesce(c.is_manifest, e.is_manifest) AS is_manifest
    FROM (SELECT * FROM organization_content WHERE organization_id = check_usage.organization) c
    FULL JOIN expected_whole e USING (digest, is_manifest)
    WHERE (c.size_bytes, c.is_present, c.holders, c.live_holders)
        IS DISTINCT FROM (e.size_bytes, e.is_present, e.holders, e.live_holders);
    SELECT count(*) INTO changed FROM wrong_content;
    contents := contents + changed;
    IF repair AND changed > 0 THEN
        DELETE FROM organization_content c USING wrong_content w
        WHERE c.organization_id = check_usage.organization AND c.digest = w.digest AND c.is_manifest = w.is_manifest;
        INSERT INTO organization_content
            (organization_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
        SELECT check_usage.organization, e.digest, e.is_manifest, e.size_bytes, e.is_present, e.holders, e.live_holders
        FROM expected_whole e JOIN wrong_content w USING (digest, is_manifest);
    END IF;
    DROP TABLE wrong_content, expected_whole;

    CREATE TEMPORARY TABLE expected_sum ON COMMIT DROP AS
    SELECT r.id AS repository_id,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND c.is_present), 0)::bigint AS used,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND NOT c.is_present), 0)::bigint AS reserved,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders <= 0 AND c.is_present), 0)::bigint AS reclaimable
    FROM repository r LEFT JOIN repository_content c ON c.repository_id = r.id
    WHERE r.organization_id = check_usage.organization GROUP BY r.id
    UNION ALL
    SELECT 0,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND c.is_present), 0)::bigint,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0 AND NOT c.is_present), 0)::bigint,
        coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders <= 0 AND c.is_present), 0)::bigint
    FROM organization_content c WHERE c.organization_id = check_usage.organization;
    SELECT count(*) INTO sums FROM (
        SELECT e.repository_id FROM expected_sum e
        JOIN repository_usage u ON u.repository_id = e.repository_id
        WHERE (u.used_bytes, u.reserved_bytes, u.reclaimable_bytes) <> (e.used, e.reserved, e.reclaimable)
        UNION ALL
        SELECT 0 FROM expected_sum e JOIN organization_usage u ON u.organization_id = check_usage.organization
        WHERE e.repository_id = 0
            AND (u.used_bytes, u.reserved_bytes, u.reclaimable_bytes) <> (e.used, e.reserved, e.reclaimable)
    ) wrong;
    IF repair AND sums > 0 THEN
        UPDATE repository_usage u
        SET used_bytes = e.used, reserved_bytes = e.reserved, reclaimable_bytes = e.reclaimable
        FROM expected_sum e WHERE u.repository_id = e.repository_id;
        UPDATE organization_usage u
        SET used_bytes = e.used, reserved_bytes = e.reserved, reclaimable_bytes = e.reclaimable
        FROM expected_sum e WHERE e.repository_id = 0 AND u.organization_id = check_usage.organization;
    END IF;
    DROP TABLE expected_sum;
END
$$;

-- MARK: What is here already

INSERT INTO organization_usage (organization_id) SELECT id FROM organization;
INSERT INTO repository_usage (repository_id) SELECT id FROM repository;
SELECT change_content(r.organization_id, r.id, rm.manifest_id, 1, 0)
FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id;
SELECT refresh_liveness(repository_id, array_agg(manifest_id)) FROM repository_manifest GROUP BY repository_id;
-- What was pulled by digest and belongs to no living tag.
UPDATE repository_manifest rm
SET held_until = coalesce(
    coalesce(rm.last_pulled_at, rm.created_at) + nullif(c.expiration_s, 0) * interval '1 second', 'infinity')
FROM repository r LEFT JOIN proxy_cache_config c ON c.organization_id = r.organization_id
WHERE r.id = rm.repository_id AND rm.released_at IS NOT NULL;
