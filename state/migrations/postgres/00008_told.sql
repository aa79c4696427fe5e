-- The tickets that tell people of a flow's matters: which ticket, what it was told last, and what it asks people to approve.

-- +goose Up
CREATE TABLE told (
    tenant     TEXT COLLATE "C" NOT NULL,
    flow       TEXT COLLATE "C" NOT NULL,
    matter     TEXT COLLATE "C" NOT NULL,
    purpose    TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    ticket     TEXT COLLATE "C" NOT NULL,
    said       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    written_by TEXT COLLATE "C" NOT NULL,
    opened_at  TEXT COLLATE "C" NOT NULL,
    updated_at TEXT COLLATE "C" NOT NULL,
    closed_at  TEXT COLLATE "C" NOT NULL,
    heard_at   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, flow, matter)
);

-- +goose Down
DROP TABLE told;
