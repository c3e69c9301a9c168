-- SPDX-License-Identifier: Apache-2.0
-- What happened: one row per manifest pull, and one per change. Names are kept, not keys: the log outlives what it names.

CREATE TABLE log_entry (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind            text NOT NULL,
    organization_id bigint,
    organization    text,
    -- canonical name inside the organization
    repository      text,
    -- who did it; NULL for somebody who hadn't logged in
    account         text,
    is_robot        boolean,
    address         text,
    user_agent      text,
    -- of pulls
    tag             text,
    digest          text,
    media_type      text,
    is_head         boolean,
    outcome         text,
    status          smallint,
    upstream        text,
    bytes           bigint,
    duration_us     bigint,
    -- of anything else
    metadata        jsonb
) PARTITION BY RANGE (at);
CREATE INDEX log_entry_by_time ON log_entry (at, id);
CREATE INDEX log_entry_by_organization ON log_entry (organization_id, at, id);

-- Only what comes before its day's partition was made.
CREATE TABLE log_entry_default PARTITION OF log_entry DEFAULT;
