-- SPDX-License-Identifier: Apache-2.0
-- A cache of a million blobs: 50 organizations, of which one has most; 10,000 repositories; 120,000 manifests. Images have a
-- configuration, three layers that they share with others and seven of their own; every thirtieth manifest is an index of two.
-- 5,000 lifetimes are over, 20,000 more are in the time machine.
SET session_replication_role = replica;
SET synchronous_commit = off;
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';

INSERT INTO organization (name) SELECT 'org' || n FROM generate_series(1, 50) n;
INSERT INTO organization_usage (organization_id) SELECT id FROM organization;
INSERT INTO proxy_cache_config (organization_id, upstream_registry) SELECT id, 'quay.io' FROM organization;
INSERT INTO repository (organization_id, name)
SELECT CASE WHEN n <= 8500 THEN 1 ELSE 2 + n % 49 END, 'repository/' || n FROM generate_series(1, 10000) n;

CREATE FUNCTION pg_temp.digest(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT 'sha256:' || encode(sha256(convert_to(kind || n, 'UTF8')), 'hex') $$;

INSERT INTO manifest (digest, kind, size_bytes, bytes)
SELECT pg_temp.digest('manifest', n), (CASE n % 30 WHEN 0 THEN 'index' ELSE 'image' END)::manifest_kind, 1500,
    convert_to(repeat(md5(n::text), 45), 'UTF8')
FROM generate_series(1, 120000) n;
INSERT INTO manifest_child (parent_id, position, digest, size_bytes, media_type, os, architecture)
SELECT n, p, pg_temp.digest('manifest', n + 1 + p), 1500, 'application/vnd.oci.image.manifest.v1+json', 'linux', 'amd64'
FROM generate_series(30, 119970, 30) n, generate_series(0, 1) p;

CREATE TEMPORARY TABLE named AS
SELECT n AS manifest_id, p AS position,
    CASE WHEN p = 0 THEN pg_temp.digest('config', n)
        WHEN p <= 3 THEN pg_temp.digest('base', (n / 4 * 3 + p) % 300000)
        ELSE pg_temp.digest('layer', n * 8 + p) END AS digest,
    CASE WHEN p = 0 THEN 5000 ELSE 1000000 + n * 7919 % 30000000 END AS size_bytes
FROM generate_series(1, 120000) n, generate_series(0, 10) p WHERE n % 30 <> 0;
-- Most of their files don't exist: those that are placed later than now are nothing to the sweep.
INSERT INTO blob (digest, generation, size_bytes, declared_bytes, placed_at)
SELECT digest, gen_random_uuid(), min(size_bytes), min(size_bytes), now() + interval '1 year' FROM named GROUP BY digest;
INSERT INTO manifest_blob (manifest_id, position, role, digest, size_bytes, media_type)
SELECT n.manifest_id, n.position, (CASE n.position WHEN 0 THEN 'config' ELSE 'layer' END)::blob_role, n.digest,
    b.size_bytes, 'application/vnd.oci.image.layer.v1.tar+gzip'
FROM named n JOIN blob b USING (digest);

-- Children of an index are in its repository, and have no tag.
INSERT INTO repository_manifest (repository_id, manifest_id, media_type, created_at, last_pulled_at, released_at)
SELECT 1 + n / 30 * 30 % 10000 + CASE WHEN n % 30 <= 2 THEN 0 ELSE n % 30 END % 10, n,
    'application/vnd.oci.image.manifest.v1+json', now() - interval '60 days',
    now() - interval '40 days' + n % 86400 * interval '1 second',
    CASE WHEN n <= 25000 THEN now() - interval '30 days' END
FROM generate_series(1, 120000) n;
INSERT INTO tag (repository_id, name, manifest_id, lifetime_start_at, lifetime_end_at, end_reason, last_pulled_at)
SELECT repository_id, 'v' || manifest_id, manifest_id, created_at,
    CASE WHEN manifest_id <= 4000 THEN now() - interval '30 days'
        WHEN manifest_id <= 5000 THEN now() - interval '2 days'
        WHEN manifest_id <= 25000 THEN now() - manifest_id % 13 * interval '1 day' END,
    CASE WHEN manifest_id <= 4000 THEN 'expired' WHEN manifest_id <= 5000 THEN 'pruned'
        WHEN manifest_id <= 25000 THEN 'expired' END,
    last_pulled_at
FROM repository_manifest WHERE manifest_id % 30 NOT IN (1, 2) OR manifest_id < 30;

ANALYZE;
INSERT INTO repository_content (repository_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
SELECT repository_id, digest, is_manifest, size_bytes, is_present, holders, live_holders FROM expected_content;
INSERT INTO organization_content (organization_id, digest, is_manifest, size_bytes, is_present, holders, live_holders)
SELECT r.organization_id, c.digest, c.is_manifest, c.size_bytes, c.is_present, sum(holders), sum(live_holders)
FROM repository_content c JOIN repository r ON r.id = c.repository_id GROUP BY 1, 2, 3, 4, 5;
INSERT INTO repository_usage (repository_id, used_bytes, reclaimable_bytes)
SELECT r.id, coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders > 0), 0),
    coalesce(sum(c.size_bytes) FILTER (WHERE c.live_holders <= 0), 0)
FROM repository r LEFT JOIN repository_content c ON c.repository_id = r.id GROUP BY r.id;
UPDATE organization_usage u SET used_bytes = s.used, reclaimable_bytes = s.reclaimable FROM (
    SELECT organization_id, coalesce(sum(size_bytes) FILTER (WHERE live_holders > 0), 0) AS used,
        coalesce(sum(size_bytes) FILTER (WHERE live_holders <= 0), 0) AS reclaimable
    FROM organization_content GROUP BY organization_id
) s WHERE u.organization_id = s.organization_id;
SET session_replication_role = origin;
DO $$ DECLARE wrong record; BEGIN
    SELECT * INTO wrong FROM usage_drift(2);
    IF (wrong.memberships, wrong.contents, wrong.sums) <> (0, 0, 0) THEN RAISE '%', wrong; END IF;
END $$;
VACUUM ANALYZE;
