-- SPDX-License-Identifier: Apache-2.0
-- Collection costs what there is to collect, not what there is.

-- Memberships that nothing may keep any more; the collector looks again. Only ever added to, so that nobody waits for it.
CREATE TABLE member_candidate (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organization ON DELETE CASCADE,
    repository_id   bigint NOT NULL,
    manifest_id     bigint NOT NULL,
    -- looked at when the grace has passed since
    since           timestamptz NOT NULL
);
CREATE INDEX member_candidate_due ON member_candidate (organization_id, since);
INSERT INTO member_candidate (organization_id, repository_id, manifest_id, since)
SELECT r.organization_id, rm.repository_id, rm.manifest_id, rm.released_at
FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id WHERE rm.released_at IS NOT NULL;
DROP INDEX repository_manifest_released;

CREATE OR REPLACE FUNCTION membership_changed() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO member_candidate (organization_id, repository_id, manifest_id, since)
        SELECT organization, rm.repository_id, rm.manifest_id, rm.released_at FROM repository_manifest rm
        WHERE rm.repository_id = NEW.repository_id AND rm.manifest_id = NEW.manifest_id AND rm.released_at IS NOT NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM change_content(
            organization, NEW.repository_id, NEW.manifest_id, 0, CASE WHEN NEW.released_at IS NULL THEN 1 ELSE -1 END);
        IF NEW.released_at IS NOT NULL THEN
            INSERT INTO member_candidate (organization_id, repository_id, manifest_id, since)
            VALUES (organization, NEW.repository_id, NEW.manifest_id, NEW.released_at);
        END IF;
    ELSE
        INSERT INTO manifest_candidate (manifest_id) VALUES (OLD.manifest_id);
        -- Repositories take their members along before they go, so this finds them.
        PERFORM change_content(
            organization, OLD.repository_id, OLD.manifest_id, -1, CASE WHEN OLD.released_at IS NULL THEN -1 ELSE 0 END);
        PERFORM refresh_liveness(OLD.repository_id, ARRAY(
            SELECT m.id FROM manifest_child c JOIN manifest m ON m.digest = c.digest WHERE c.parent_id = OLD.manifest_id
        ));
        -- An index that could be revived kept its children.
        INSERT INTO member_candidate (organization_id, repository_id, manifest_id, since)
        SELECT DISTINCT organization, rm.repository_id, rm.manifest_id, rm.released_at
        FROM manifest_child c
        JOIN manifest m ON m.digest = c.digest
        JOIN repository_manifest rm ON rm.repository_id = OLD.repository_id AND rm.manifest_id = m.id
        WHERE c.parent_id = OLD.manifest_id AND rm.released_at IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION membership_changed() SET plan_cache_mode = force_generic_plan;

-- A lifetime that could be revived kept what it named.
CREATE FUNCTION lifetimes_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO member_candidate (organization_id, repository_id, manifest_id, since)
    SELECT DISTINCT r.organization_id, rm.repository_id, rm.manifest_id, rm.released_at
    FROM old_rows t
    JOIN repository_manifest rm ON rm.repository_id = t.repository_id AND rm.manifest_id = t.manifest_id
    JOIN repository r ON r.id = rm.repository_id
    WHERE rm.released_at IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER lifetimes_forgotten AFTER DELETE ON tag REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lifetimes_forgotten();

-- Ended tags by their owners, whose time machines differ; those that were pruned go sooner.
DROP INDEX tag_ended;
CREATE INDEX tag_ended ON tag (repository_id, lifetime_end_at) WHERE lifetime_end_at IS NOT NULL;
CREATE INDEX tag_pruned ON tag (repository_id, lifetime_end_at) WHERE end_reason = 'pruned';

-- Foreign layers may never come; they count once they are here. The statement names size_bytes for the trigger's sake.
UPDATE blob b SET declared_bytes = 0, size_bytes = NULL
WHERE b.generation IS NULL AND b.declared_bytes > 0 AND NOT EXISTS (
    SELECT 1 FROM manifest_blob mb WHERE mb.digest = b.digest
        AND mb.media_type NOT LIKE 'application/vnd.oci.image.layer.nondistributable.v1.tar%'
        AND mb.media_type NOT LIKE 'application/vnd.docker.image.rootfs.foreign.diff.tar%'
) AND EXISTS (SELECT 1 FROM manifest_blob mb WHERE mb.digest = b.digest);
