-- SPDX-License-Identifier: Apache-2.0
-- What upstreams list.

-- All tags that upstream listed, in the order of their bytes. One statement replaces it whole.
CREATE TABLE tag_list (
    repository_id bigint PRIMARY KEY REFERENCES repository ON DELETE CASCADE,
    -- of the organization's configuration: a list of another upstream is none of this one's
    generation    bigint NOT NULL,
    names         text[] NOT NULL,
    checked_at    timestamptz NOT NULL DEFAULT now()
);

-- Descriptors of what upstream says refers to a manifest, be that manifest known to it or not.
CREATE TABLE referrer_list (
    repository_id  bigint NOT NULL REFERENCES repository ON DELETE CASCADE,
    subject_digest text NOT NULL,
    generation     bigint NOT NULL,
    descriptors    jsonb NOT NULL,
    checked_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (repository_id, subject_digest)
);
