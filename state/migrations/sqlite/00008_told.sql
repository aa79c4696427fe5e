-- The tickets that tell people of a flow's matters: which ticket, what it was told last, and what it asks people to approve.

-- +goose Up
CREATE TABLE told (
    tenant     TEXT NOT NULL,
    flow       TEXT NOT NULL,
    matter     TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    account    TEXT NOT NULL,
    ticket     TEXT NOT NULL,
    said       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    written_by TEXT NOT NULL,
    opened_at  TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    closed_at  TEXT NOT NULL,
    heard_at   TEXT NOT NULL,
    PRIMARY KEY (tenant, flow, matter)
);

-- +goose Down
DROP TABLE told;
