-- SPDX-License-Identifier: Apache-2.0

-- The next jobs of each organization are read from the index, however many there are. Chores are nobody's.
CREATE INDEX job_due ON job (queue, coalesce(organization_id, 0), priority, scheduled_at, id)
    WHERE state IN ('available', 'retryable');
DROP INDEX job_claimable;
