-- +goose Up
CREATE TABLE gaps (
	account TEXT NOT NULL,
	kind    TEXT NOT NULL,
	gaps    TEXT NOT NULL,
	PRIMARY KEY (account, kind)
);

-- +goose Down
DROP TABLE gaps;
