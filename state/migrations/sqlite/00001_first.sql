-- Texts compare byte by byte here, which SQLite does by itself. Times are UTC text of fixed width, so that their order as
-- text is their order in time; '' is no time. JSON columns are text that SQL never looks into.

-- +goose Up
CREATE TABLE lease (
    name       TEXT NOT NULL PRIMARY KEY,
    token      TEXT NOT NULL,
    holder     TEXT NOT NULL,
    started_at TEXT NOT NULL,
    renewed_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);

CREATE TABLE cursors (
    account TEXT NOT NULL PRIMARY KEY,
    cursor  TEXT NOT NULL,
    set_at  TEXT NOT NULL
);

CREATE TABLE sweeps (
    account  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    swept_at TEXT NOT NULL,
    PRIMARY KEY (account, kind)
);

CREATE TABLE records (
    account    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    parent     TEXT NOT NULL,
    id         TEXT NOT NULL,
    fields     TEXT NOT NULL,
    changed    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    seen_run   TEXT NOT NULL,
    seen_at    TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    gone_at    TEXT NOT NULL,
    PRIMARY KEY (account, kind, parent, id)
);

CREATE TABLE links (
    id             TEXT NOT NULL PRIMARY KEY,
    flow           TEXT NOT NULL,
    kind           TEXT NOT NULL,
    vendor_account TEXT NOT NULL,
    vendor_kind    TEXT NOT NULL,
    vendor_parent  TEXT NOT NULL,
    vendor_id      TEXT NOT NULL,
    psa_account    TEXT NOT NULL,
    psa_kind       TEXT NOT NULL,
    psa_parent     TEXT NOT NULL,
    psa_id         TEXT NOT NULL,
    label          TEXT NOT NULL,
    state          TEXT NOT NULL,
    how            TEXT NOT NULL,
    created_at     TEXT NOT NULL,
    closed_at      TEXT NOT NULL
);
-- One active link for a vendor record in a flow; it also is the order in which links are streamed.
CREATE UNIQUE INDEX links_by_vendor ON links (flow, kind, vendor_parent, vendor_id, vendor_kind, vendor_account)
    WHERE state = 'active';
CREATE INDEX links_by_psa ON links (flow, kind, psa_parent, psa_id) WHERE state = 'active';
-- A contract line bills one subscription, whatever flow wrote it.
CREATE UNIQUE INDEX links_claimed_lines ON links (psa_account, psa_kind, psa_parent, psa_id)
    WHERE state = 'active' AND kind = 'line';

CREATE TABLE snapshots (
    link    TEXT NOT NULL REFERENCES links (id),
    side    TEXT NOT NULL,
    fields  TEXT NOT NULL,
    read_at TEXT NOT NULL,
    run     TEXT NOT NULL,
    PRIMARY KEY (link, side)
);

CREATE TABLE runs (
    id           TEXT NOT NULL PRIMARY KEY,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    started_at   TEXT NOT NULL,
    finished_at  TEXT NOT NULL,
    counts       TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    stop_at      TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_in_progress ON runs (kind, name) WHERE state = 'in progress';
CREATE INDEX runs_by_start ON runs (started_at, id);

CREATE TABLE findings (
    flow       TEXT NOT NULL,
    finding    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    customer   TEXT NOT NULL,
    title      TEXT NOT NULL,
    detail     TEXT NOT NULL,
    next_step  TEXT NOT NULL,
    amount     TEXT NOT NULL,
    run        TEXT NOT NULL,
    opened_at  TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    closed_at  TEXT NOT NULL,
    PRIMARY KEY (flow, finding)
);

CREATE TABLE plans (
    digest  TEXT NOT NULL PRIMARY KEY,
    flow    TEXT NOT NULL,
    run     TEXT NOT NULL,
    made_at TEXT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX plans_by_flow ON plans (flow, made_at);

CREATE TABLE journal (
    seq        BIGINT NOT NULL PRIMARY KEY,
    written_at TEXT NOT NULL,
    intent     TEXT NOT NULL,
    state      TEXT NOT NULL,
    flow       TEXT NOT NULL,
    run        TEXT NOT NULL,
    plan       TEXT NOT NULL,
    link       TEXT NOT NULL,
    account    TEXT NOT NULL,
    op         TEXT NOT NULL,
    ref_kind   TEXT NOT NULL,
    ref_parent TEXT NOT NULL,
    ref_id     TEXT NOT NULL,
    body       TEXT NOT NULL,
    reply      TEXT NOT NULL,
    class      TEXT NOT NULL,
    note       TEXT NOT NULL,
    hash       TEXT NOT NULL
);
CREATE INDEX journal_by_intent ON journal (intent, seq);
CREATE INDEX journal_by_link ON journal (link, seq);
CREATE INDEX journal_by_record ON journal (account, ref_id, seq);
CREATE INDEX journal_by_run ON journal (run, seq);

-- Where each intent stands: the journal's last entry for it. Written together with the journal and checked against it.
CREATE TABLE intents (
    intent TEXT   NOT NULL PRIMARY KEY,
    flow   TEXT   NOT NULL,
    state  TEXT   NOT NULL,
    seq    BIGINT NOT NULL
);
CREATE INDEX intents_by_state ON intents (state, flow);

-- +goose StatementBegin
CREATE TRIGGER journal_never_changes BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is only ever appended to');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER journal_never_shrinks BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is only ever appended to');
END;
-- +goose StatementEnd
