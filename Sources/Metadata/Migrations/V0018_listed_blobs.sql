-- SPDX-License-Identifier: Apache-2.0
-- Indexes list blobs, too (BuildKit keeps its caches so). Those that were stored before it was known to us have them among
-- their children: what they list that is no manifest becomes what it is.

CREATE TEMPORARY TABLE listed ON COMMIT DROP AS
SELECT parent_id, position, digest, size_bytes, media_type FROM manifest_child
WHERE media_type NOT IN (
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.oci.artifact.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.docker.distribution.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/octet-stream'
);

-- Locks in the order of V0009.
CREATE TEMPORARY TABLE concerned ON COMMIT DROP AS
SELECT DISTINCT r.organization_id
FROM repository_manifest rm JOIN repository r ON r.id = rm.repository_id
WHERE rm.manifest_id IN (SELECT parent_id FROM listed);
SELECT 1 FROM organization_usage WHERE organization_id IN (SELECT organization_id FROM concerned)
ORDER BY organization_id FOR UPDATE;

INSERT INTO blob (digest, declared_bytes)
SELECT digest, min(size_bytes) FROM listed GROUP BY digest ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET condemned_at = NULL WHERE blob.condemned_at IS NOT NULL;
INSERT INTO manifest_blob (manifest_id, position, role, digest, size_bytes, media_type)
SELECT parent_id, row_number() OVER (PARTITION BY parent_id ORDER BY position) - 1, 'layer', digest, size_bytes, media_type
FROM listed;
DELETE FROM manifest_child c USING listed l WHERE c.parent_id = l.parent_id AND c.position = l.position;
SELECT repair_usage(organization_id) FROM concerned ORDER BY organization_id;
