-- SPDX-License-Identifier: Apache-2.0

-- The oldest go first, without a look at the others.
CREATE INDEX referrer_list_by_age ON referrer_list (checked_at);
