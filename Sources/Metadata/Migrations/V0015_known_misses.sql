-- SPDX-License-Identifier: Apache-2.0

-- Answers that are still good are those that upstream hasn't something: they are found without reading all the others that
-- a much asked thing had lately.
CREATE INDEX job_missed ON job (kind, unique_key, finalized_at)
    WHERE state = 'completed' AND result -> 'failure' ->> 'cause' = 'notFound';
DROP INDEX job_answered;
