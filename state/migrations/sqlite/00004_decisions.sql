-- +goose Up
-- What people said about plans that go over a flow's limits. Rows are added; only the run that used one is filled in later.
CREATE TABLE decisions (
    tenant     TEXT NOT NULL DEFAULT '',
    id         TEXT NOT NULL PRIMARY KEY,
    digest     TEXT NOT NULL,
    flow       TEXT NOT NULL,
    person     TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_run   TEXT NOT NULL,
    used_at    TEXT NOT NULL
);
CREATE INDEX decisions_by_digest ON decisions (tenant, digest, decided_at);

-- +goose Down
DROP TABLE decisions;
