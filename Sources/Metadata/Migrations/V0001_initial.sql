-- SPDX-License-Identifier: Apache-2.0
-- Organizations, what they proxy, the cached images, and the job queue.

CREATE TABLE organization (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 2 AND 255),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- At most one upstream per organization; an organization without one serves only what it has.
CREATE TABLE proxy_cache_config (
    organization_id    bigint PRIMARY KEY REFERENCES organization ON DELETE CASCADE,
    upstream_registry  text NOT NULL CHECK (length(upstream_registry) BETWEEN 1 AND 270),
    upstream_namespace text,
    insecure           boolean NOT NULL DEFAULT false,
    freshness_s        bigint NOT NULL DEFAULT 0 CHECK (freshness_s >= 0),
    expiration_s       bigint NOT NULL DEFAULT 86400 CHECK (expiration_s >= 0),
    -- NULL: the same as expiration_s
    staleness_s        bigint CHECK (staleness_s >= 0),
    -- grows with every change; whatever was derived from the configuration carries it in its key
    generation         bigint NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE repository (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organization ON DELETE CASCADE,
    -- canonical name inside the organization
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name)
);

CREATE TYPE manifest_kind AS ENUM ('image', 'index', 'artifact');

-- Content, shared by all repositories that have it. Immutable.
CREATE TABLE manifest (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest         text NOT NULL UNIQUE,
    kind           manifest_kind NOT NULL,
    size_bytes     bigint NOT NULL CHECK (size_bytes BETWEEN 0 AND 4194304),
    -- the upstream's bytes, verbatim
    bytes          bytea NOT NULL,
    subject_digest text,
    created_at     timestamptz NOT NULL DEFAULT now()
);

-- Membership: what a repository may serve. The media type belongs to it, because upstream names it in a header:
-- one upstream's header must not decide what another organization's clients are told.
CREATE TABLE repository_manifest (
    repository_id bigint NOT NULL REFERENCES repository ON DELETE CASCADE,
    manifest_id   bigint NOT NULL REFERENCES manifest,
    media_type    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (repository_id, manifest_id)
);
CREATE INDEX manifest_by_subject ON manifest (subject_digest) WHERE subject_digest IS NOT NULL;
CREATE INDEX repository_manifest_by_manifest ON repository_manifest (manifest_id);

-- A row means that some manifest names the digest. Its bytes are present exactly when it has a generation.
CREATE TABLE blob (
    digest             text PRIMARY KEY,
    -- the stored object: its name carries this, so that deleting an old copy can't hit a new one
    generation         uuid UNIQUE,
    size_bytes         bigint CHECK (size_bytes >= 0),
    placed_at          timestamptz,
    -- the partial that a fetcher is filling or left behind
    partial_generation uuid UNIQUE,
    partial_validator  text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CHECK ((generation IS NULL) = (size_bytes IS NULL)),
    CHECK ((generation IS NULL) = (placed_at IS NULL))
);
CREATE INDEX blob_with_partial ON blob (partial_generation) WHERE partial_generation IS NOT NULL;

CREATE TYPE blob_role AS ENUM ('config', 'layer');

CREATE TABLE manifest_blob (
    manifest_id bigint NOT NULL REFERENCES manifest ON DELETE CASCADE,
    position    integer NOT NULL,
    role        blob_role NOT NULL,
    digest      text NOT NULL REFERENCES blob,
    -- as the manifest declares it; the blob's own row knows the truth once the bytes are there
    size_bytes  bigint NOT NULL CHECK (size_bytes >= 0),
    media_type  text NOT NULL,
    PRIMARY KEY (manifest_id, position)
);
CREATE INDEX manifest_blob_by_digest ON manifest_blob (digest, manifest_id);

-- Children of an index; most are never fetched.
CREATE TABLE manifest_child (
    parent_id    bigint NOT NULL REFERENCES manifest ON DELETE CASCADE,
    position     integer NOT NULL,
    digest       text NOT NULL,
    size_bytes   bigint NOT NULL CHECK (size_bytes >= 0),
    media_type   text NOT NULL,
    os           text,
    architecture text,
    variant      text,
    PRIMARY KEY (parent_id, position)
);
CREATE INDEX manifest_child_by_digest ON manifest_child (digest);

-- A tag's lifetimes. The live one has no end; the others are its history.
CREATE TABLE tag (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id     bigint NOT NULL,
    name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    manifest_id       bigint NOT NULL,
    lifetime_start_at timestamptz NOT NULL DEFAULT now(),
    lifetime_end_at   timestamptz CHECK (lifetime_end_at >= lifetime_start_at),
    -- when upstream last confirmed that the tag names this manifest
    checked_at        timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (repository_id, manifest_id) REFERENCES repository_manifest ON DELETE CASCADE
);
CREATE UNIQUE INDEX tag_live ON tag (repository_id, name) WHERE lifetime_end_at IS NULL;
CREATE INDEX tag_by_manifest ON tag (manifest_id);

CREATE TYPE job_state AS ENUM ('available', 'running', 'retryable', 'completed', 'discarded');

CREATE SEQUENCE job_lease_token;

CREATE TABLE job (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue            text NOT NULL,
    kind             text NOT NULL,
    state            job_state NOT NULL DEFAULT 'available',
    -- smaller is sooner
    priority         smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 9),
    organization_id  bigint REFERENCES organization ON DELETE CASCADE,
    unique_key       text NOT NULL,
    payload          jsonb NOT NULL,
    result           jsonb,
    -- one object per failed attempt: at, attempt, worker, message
    errors           jsonb NOT NULL DEFAULT '[]',
    attempt          smallint NOT NULL DEFAULT 0,
    max_attempts     smallint NOT NULL DEFAULT 5 CHECK (max_attempts > 0),
    -- leases that ran out with no word from the worker: three make a poison pill
    lapses           smallint NOT NULL DEFAULT 0,
    scheduled_at     timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    attempted_at     timestamptz,
    attempted_by     text,
    -- fencing: completing and publishing ask for the token that the claim gave out
    lease_token      bigint,
    lease_expires_at timestamptz,
    finalized_at     timestamptz,
    CHECK ((state IN ('completed', 'discarded')) = (finalized_at IS NOT NULL)),
    CHECK ((state = 'running') = (lease_expires_at IS NOT NULL))
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
-- One live job per thing to do: this index is the single flight of the whole deployment.
CREATE UNIQUE INDEX job_live ON job (kind, unique_key) WHERE state IN ('available', 'running', 'retryable');
CREATE INDEX job_claimable ON job (queue, priority, scheduled_at, id) WHERE state IN ('available', 'retryable');
CREATE INDEX job_leased ON job (lease_expires_at) WHERE state = 'running';
CREATE INDEX job_finalized ON job (finalized_at) WHERE finalized_at IS NOT NULL;
