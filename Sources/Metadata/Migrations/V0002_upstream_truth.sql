-- SPDX-License-Identifier: Apache-2.0
-- Clocks of tags, what upstreams said of themselves, and limits that all fetchers keep together.

ALTER TABLE proxy_cache_config
    ADD COLUMN on_upstream_delete text NOT NULL DEFAULT 'serve' CHECK (on_upstream_delete IN ('serve', 'hide'));

-- A tag without an end that is past expires_at is gone for clients; NULL never expires. Renewed at every pull.
ALTER TABLE tag
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_pulled_at timestamptz;

ALTER TABLE repository_manifest ADD COLUMN last_pulled_at timestamptz;

CREATE TABLE upstream (
    -- scheme, host and port
    base_url         text PRIMARY KEY,
    -- circuit breaker: failures in a row, how often it has opened since the last success, and until when it is open
    failures         integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    openings         integer NOT NULL DEFAULT 0 CHECK (openings >= 0),
    open_until       timestamptz,
    last_failure     jsonb,
    -- what it last said of its limit
    rate_limit       integer,
    rate_remaining   integer,
    rate_window_s    integer,
    rate_seen_at     timestamptz,
    -- limits that an operator set
    max_connections  integer CHECK (max_connections > 0),
    requests_per_s   double precision CHECK (requests_per_s > 0),
    -- when the next request may be sent, under requests_per_s
    next_request_at  timestamptz NOT NULL DEFAULT '-infinity'
);

ALTER TABLE job ADD COLUMN upstream text;

-- Answers that are still good: a thing that upstream hasn't isn't asked for again for a while.
CREATE INDEX job_answered ON job (kind, unique_key, finalized_at) WHERE state = 'completed';
