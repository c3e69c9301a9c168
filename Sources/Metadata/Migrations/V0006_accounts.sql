-- SPDX-License-Identifier: Apache-2.0
-- Who may do what.

-- Organizations are private unless somebody says otherwise. Those that are here were open to everybody so far, and stay so.
ALTER TABLE organization ADD COLUMN public_pull boolean NOT NULL DEFAULT false;
UPDATE organization SET public_pull = true;

CREATE TYPE account_kind AS ENUM ('user', 'robot');

CREATE TABLE account (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            account_kind NOT NULL,
    -- of robots: ORGANIZATION+NAME
    name            text NOT NULL UNIQUE CHECK (length(name) BETWEEN 2 AND 511),
    -- whose robot it is; nil for people, who may be members of many
    organization_id bigint REFERENCES organization ON DELETE CASCADE,
    -- scrypt; robots have tokens only
    password_hash   text,
    is_superuser    boolean NOT NULL DEFAULT false,
    is_enabled      boolean NOT NULL DEFAULT true,
    description     text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_login_at   timestamptz,
    CHECK ((kind = 'robot') = (organization_id IS NOT NULL)),
    CHECK (kind = 'user' OR (password_hash IS NULL AND NOT is_superuser))
);

CREATE TABLE membership (
    organization_id bigint NOT NULL REFERENCES organization ON DELETE CASCADE,
    account_id      bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    role            text NOT NULL CHECK (role IN ('admin', 'member', 'reader')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, account_id)
);
CREATE INDEX membership_by_account ON membership (account_id);

-- Random secrets that stand for an account: tokens of robots and of the API. Only their hashes are kept.
CREATE TABLE access_token (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    -- SHA-256 of the token
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX access_token_by_account ON access_token (account_id);

-- Failed logins by account and by address; a row ages out with its last failure.
CREATE TABLE login_throttle (
    -- account:NAME or address:IP
    key            text PRIMARY KEY,
    failures       integer NOT NULL CHECK (failures > 0),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    blocked_until  timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX login_throttle_by_age ON login_throttle (last_failed_at);

-- Keys that sign the registry's tokens. The newest one signs; the older ones verify what they signed.
CREATE TABLE signing_key (
    id          text PRIMARY KEY,
    -- P-256, raw representation
    private_key bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
