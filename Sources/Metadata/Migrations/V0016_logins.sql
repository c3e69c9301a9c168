-- SPDX-License-Identifier: Apache-2.0

-- How often the password was changed: what was given out for an older one is worthless.
ALTER TABLE account ADD COLUMN password_generation integer NOT NULL DEFAULT 0;

-- An attempt counts while it is checked and is taken back when it was right, so that nothing may be left.
ALTER TABLE login_throttle DROP CONSTRAINT login_throttle_failures_check, ADD CHECK (failures >= 0);
