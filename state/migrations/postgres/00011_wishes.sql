-- Companies of the PSA that a person wants to become customers at the vendor of a flow.

-- +goose Up
CREATE TABLE wishes (
    tenant   TEXT COLLATE "C" NOT NULL,
    flow     TEXT COLLATE "C" NOT NULL,
    company  TEXT COLLATE "C" NOT NULL,
    domain   TEXT COLLATE "C" NOT NULL,
    person   TEXT COLLATE "C" NOT NULL,
    asked_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, flow, company)
);

-- +goose Down
DROP TABLE wishes;
