-- +goose Up
CREATE TABLE gaps (
	account TEXT NOT NULL,
	kind    TEXT NOT NULL,
	gaps    TEXT NOT NULL,
	PRIMARY KEY (account, kind)
);

ALTER TABLE runs ADD COLUMN alive_at TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE runs DROP COLUMN alive_at;
DROP TABLE gaps;
