-- SPDX-License-Identifier: Apache-2.0
-- What else an administrator can say of an upstream.

ALTER TABLE proxy_cache_config
    -- hosts (with port, if it isn't 443) beside the upstream's own that may issue its tokens
    ADD COLUMN realm_hosts         text[] NOT NULL DEFAULT '{}',
    -- platforms (os/architecture[/variant]) whose images are fetched as soon as their index is pulled
    ADD COLUMN platforms           text[] NOT NULL DEFAULT '{}',
    -- hosts that foreign layers are fetched from; none are fetched from any other
    ADD COLUMN foreign_layer_hosts text[] NOT NULL DEFAULT '{}',
    -- user name and password, sealed to the fetchers' key of that id
    ADD COLUMN sealed_credentials  bytea,
    ADD COLUMN sealing_key_id      text,
    ADD CHECK ((sealed_credentials IS NULL) = (sealing_key_id IS NULL));

-- Public keys of fetchers; credentials are sealed to the newest one.
CREATE TABLE sealing_key (
    id         text PRIMARY KEY,
    public_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
