-- SPDX-License-Identifier: Apache-2.0
-- What the vulnerability scanner knows of images, and what is to be done about it.

-- One row per manifest that is complete, but for indexes. Written in the transaction that makes it complete; that row is
-- the order to scan it, whether a dispatcher runs or not.
CREATE TABLE manifest_scan (
    manifest_id bigint PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
    state       text NOT NULL CHECK (state IN
        ('queued', 'scanned', 'failed', 'exhausted', 'unsupported', 'refused', 'too_large')),
    -- when to look again; NULL: not before something changes
    due_at      timestamptz,
    -- failures in a row that count against the image
    failures    smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    reason      text,
    -- the scanner's, when it last answered for the image
    index_state text,
    -- sent to be indexed, and no answer written down yet
    sent_at     timestamptz,
    -- when the scanner looked into it, in that state; NULL: it hasn't
    indexed_at  timestamptz,
    queued_at   timestamptz NOT NULL DEFAULT now(),
    CHECK ((due_at IS NULL) = (state IN ('exhausted', 'unsupported', 'refused', 'too_large')))
);
CREATE INDEX manifest_scan_due ON manifest_scan (due_at) WHERE due_at IS NOT NULL;

-- What images that are complete already have coming.
INSERT INTO manifest_scan (manifest_id, state, due_at)
SELECT m.id, s.state, CASE s.state WHEN 'queued' THEN now() END
FROM manifest m, LATERAL (
    SELECT CASE
        WHEN m.kind = 'image' AND EXISTS (
            SELECT 1 FROM manifest_blob mb WHERE mb.manifest_id = m.id AND mb.role = 'layer')
        THEN 'queued' ELSE 'unsupported' END AS state
) s
WHERE m.kind <> 'index' AND NOT EXISTS (
    SELECT 1 FROM manifest_blob mb JOIN blob b ON b.digest = mb.digest
    WHERE mb.manifest_id = m.id AND b.generation IS NULL
        AND NOT (mb.media_type LIKE 'application/vnd.oci.image.layer.nondistributable.v1.tar%'
            OR mb.media_type LIKE 'application/vnd.docker.image.rootfs.foreign.diff.tar%')
);

CREATE TABLE scan_report (
    manifest_id   bigint PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
    fetched_at    timestamptz NOT NULL DEFAULT now(),
    packages      integer NOT NULL,
    -- findings by severity, from unknown to critical, and those of them that a newer version ends
    counts        integer[] NOT NULL CHECK (cardinality(counts) = 6),
    fixable       integer[] NOT NULL CHECK (cardinality(fixable) = 6),
    -- the worst finding that a newer version ends
    worst_fixable jsonb,
    -- as the scanner sent it. PostgreSQL compresses it, out of line.
    report        text NOT NULL
);

-- The scanner, as it was last seen.
CREATE TABLE scanner (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    -- changes when it learns to see more, not when there are new vulnerabilities
    index_state text NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now()
);

-- Manifests that are gone here, and that the scanner is to forget.
CREATE TABLE scan_deletion (
    digest    text PRIMARY KEY,
    due_at    timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scan_deletion_due ON scan_deletion (due_at);

-- What the scanner has to tell: worked through page by page. Kept for a while, so that what is told twice is known.
CREATE TABLE scan_notification (
    id          uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(),
    -- where the next page begins; NULL: at the beginning
    next_page   text,
    pages       integer NOT NULL DEFAULT 0,
    finished_at timestamptz
);
CREATE INDEX scan_notification_open ON scan_notification (due_at) WHERE finished_at IS NULL;

ALTER TABLE organization
    -- images with a finding this bad, which a newer version ends, are refused; NULL: none are
    ADD COLUMN block_severity text
        CHECK (block_severity IN ('Unknown', 'Negligible', 'Low', 'Medium', 'High', 'Critical')),
    -- what becomes of images without a report
    ADD COLUMN unscanned text NOT NULL DEFAULT 'allow' CHECK (unscanned IN ('allow', 'wait', 'deny'));
