-- How the seats of a link belong together with others. Links that share a line or a subscription say so; all others have it alone.

-- +goose Up
ALTER TABLE links ADD COLUMN shape TEXT COLLATE "C" NOT NULL DEFAULT '';
DROP INDEX links_by_vendor;
DROP INDEX links_claimed_lines;
-- One active link for a vendor record in a flow, unless several lines bill parts of it.
CREATE UNIQUE INDEX links_by_vendor ON links (tenant, flow, kind, vendor_parent, vendor_id, vendor_kind, vendor_account)
    WHERE state = 'active' AND shape <> 'split';
-- The order in which links are streamed.
CREATE INDEX links_in_order ON links (tenant, flow, kind, vendor_parent, vendor_id, id) WHERE state = 'active';
-- A contract line bills one subscription, whatever flow wrote it, unless it bills several together.
CREATE UNIQUE INDEX links_claimed_lines ON links (tenant, psa_account, psa_kind, psa_parent, psa_id)
    WHERE state = 'active' AND kind = 'line' AND shape <> 'sum' AND shape <> 'bundle';
-- Two records have one link.
CREATE UNIQUE INDEX links_once ON links (tenant, flow, kind, vendor_account, vendor_kind, vendor_parent, vendor_id, psa_account, psa_kind, psa_parent, psa_id)
    WHERE state = 'active';

-- +goose Down
DROP INDEX links_once;
DROP INDEX links_claimed_lines;
DROP INDEX links_in_order;
DROP INDEX links_by_vendor;
ALTER TABLE links DROP COLUMN shape;
CREATE UNIQUE INDEX links_by_vendor ON links (tenant, flow, kind, vendor_parent, vendor_id, vendor_kind, vendor_account)
    WHERE state = 'active';
CREATE UNIQUE INDEX links_claimed_lines ON links (tenant, psa_account, psa_kind, psa_parent, psa_id)
    WHERE state = 'active' AND kind = 'line';
