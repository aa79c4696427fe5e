-- Companies of the PSA that a person wants to become customers at the vendor of a flow.

-- +goose Up
CREATE TABLE wishes (
    tenant   TEXT NOT NULL,
    flow     TEXT NOT NULL,
    company  TEXT NOT NULL,
    domain   TEXT NOT NULL,
    person   TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    PRIMARY KEY (tenant, flow, company)
);

-- +goose Down
DROP TABLE wishes;
