-- +goose Up
-- What people decided about the end of a subscription's term. Rows are added; only when the vendor was told is filled in later.
CREATE TABLE end_decisions (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    flow         TEXT COLLATE "C" NOT NULL,
    customer     TEXT COLLATE "C" NOT NULL,
    subscription TEXT COLLATE "C" NOT NULL,
    term_end     TEXT COLLATE "C" NOT NULL,
    action       TEXT COLLATE "C" NOT NULL,
    seats        TEXT COLLATE "C" NOT NULL,
    product      TEXT COLLATE "C" NOT NULL,
    person       TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    decided_at   TEXT COLLATE "C" NOT NULL,
    told_run     TEXT COLLATE "C" NOT NULL,
    told_at      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX end_decisions_by_flow ON end_decisions (tenant, flow, term_end);

-- +goose Down
DROP TABLE end_decisions;
