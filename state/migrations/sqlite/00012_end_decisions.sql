-- +goose Up
-- What people decided about the end of a subscription's term. Rows are added; only when the vendor was told is filled in later.
CREATE TABLE end_decisions (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    flow         TEXT NOT NULL,
    customer     TEXT NOT NULL,
    subscription TEXT NOT NULL,
    term_end     TEXT NOT NULL,
    action       TEXT NOT NULL,
    seats        TEXT NOT NULL,
    product      TEXT NOT NULL,
    person       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    decided_at   TEXT NOT NULL,
    told_run     TEXT NOT NULL,
    told_at      TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX end_decisions_by_flow ON end_decisions (tenant, flow, term_end);

-- +goose Down
DROP TABLE end_decisions;
