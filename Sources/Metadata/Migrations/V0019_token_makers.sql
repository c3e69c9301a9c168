-- SPDX-License-Identifier: Apache-2.0

-- The token by which it was made; what it made is revoked with it. NULL: a password's, or one that is gone.
ALTER TABLE access_token ADD COLUMN maker_id bigint REFERENCES access_token ON DELETE SET NULL;
CREATE INDEX access_token_by_maker ON access_token (maker_id) WHERE maker_id IS NOT NULL;
-- What is worthless is removed after a while.
CREATE INDEX access_token_by_end ON access_token (least(revoked_at, expires_at))
    WHERE least(revoked_at, expires_at) IS NOT NULL;
