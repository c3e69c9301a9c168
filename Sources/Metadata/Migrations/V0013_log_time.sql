-- SPDX-License-Identifier: Apache-2.0

-- Stable within a statement, unlike clock_timestamp(): COPY then adds rows many at a time.
ALTER TABLE log_entry ALTER COLUMN at SET DEFAULT statement_timestamp();
