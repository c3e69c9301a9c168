-- SPDX-License-Identifier: Apache-2.0
-- How far blobs that are arriving have come, as their fetchers say about once a second.

ALTER TABLE blob
    ADD COLUMN partial_bytes       bigint CHECK (partial_bytes >= 0),
    ADD COLUMN partial_bytes_per_s bigint CHECK (partial_bytes_per_s >= 0),
    ADD CHECK (partial_generation IS NOT NULL OR (partial_bytes IS NULL AND partial_bytes_per_s IS NULL));
