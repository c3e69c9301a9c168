-- SPDX-License-Identifier: Apache-2.0
-- What administrators decide beside the upstream, why lifetimes of tags ended, and what was saved.

ALTER TABLE organization
    -- how long ended tags can be revived; NULL: as long as the deployment says
    ADD COLUMN time_machine_s bigint CHECK (time_machine_s >= 0);

ALTER TABLE proxy_cache_config
    -- what becomes of an image that is larger than the whole quota
    ADD COLUMN oversized text NOT NULL DEFAULT 'overflow' CHECK (oversized IN ('overflow', 'bypass', 'reject'));

CREATE TABLE quota (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL UNIQUE REFERENCES organization ON DELETE CASCADE,
    limit_bytes     bigint NOT NULL CHECK (limit_bytes > 0)
);

-- What happens when usage passes so much of the limit: somebody is told, or nothing new is cached.
CREATE TABLE quota_threshold (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quota_id bigint NOT NULL REFERENCES quota ON DELETE CASCADE,
    type     text NOT NULL CHECK (type IN ('Warning', 'Reject')),
    percent  smallint NOT NULL CHECK (percent BETWEEN 1 AND 100),
    UNIQUE (quota_id, type, percent)
);

-- Why a lifetime ended; NULL while it lasts.
ALTER TABLE tag ADD COLUMN end_reason text
    CHECK (end_reason IN ('moved', 'expired', 'deleted', 'pruned')),
    ADD CHECK (end_reason IS NULL OR lifetime_end_at IS NOT NULL);
CREATE INDEX tag_by_name ON tag (repository_id, name, lifetime_start_at);

-- Tags that are never pruned, whatever they name.
CREATE TABLE tag_pin (
    repository_id bigint NOT NULL REFERENCES repository ON DELETE CASCADE,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (repository_id, name)
);

-- What was served and what was fetched for it, by day (UTC). Counted in memory and added every few seconds.
CREATE TABLE traffic (
    organization_id   bigint NOT NULL REFERENCES organization ON DELETE CASCADE,
    day               date NOT NULL,
    hits              bigint NOT NULL DEFAULT 0,
    revalidated       bigint NOT NULL DEFAULT 0,
    misses            bigint NOT NULL DEFAULT 0,
    stale             bigint NOT NULL DEFAULT 0,
    errors            bigint NOT NULL DEFAULT 0,
    blob_pulls        bigint NOT NULL DEFAULT 0,
    served_bytes      bigint NOT NULL DEFAULT 0,
    upstream_requests bigint NOT NULL DEFAULT 0,
    upstream_bytes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, day)
);
