-- Every row belongs to a tenant, and the tenant is part of every key. What was there belongs to the tenant ''. SQLite cannot change a key, so
-- the tables are made anew. The numbers, texts and hashes of the journal stay as they are.

-- +goose Up
CREATE TABLE new_lease (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    token      TEXT NOT NULL,
    holder     TEXT NOT NULL,
    started_at TEXT NOT NULL,
    renewed_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
);
INSERT INTO new_lease (tenant, name, token, holder, started_at, renewed_at, expires_at)
    SELECT '', name, token, holder, started_at, renewed_at, expires_at FROM lease;

CREATE TABLE new_cursors (
    tenant  TEXT NOT NULL,
    account TEXT NOT NULL,
    cursor  TEXT NOT NULL,
    set_at  TEXT NOT NULL,
    PRIMARY KEY (tenant, account)
);
INSERT INTO new_cursors (tenant, account, cursor, set_at)
    SELECT '', account, cursor, set_at FROM cursors;

CREATE TABLE new_sweeps (
    tenant   TEXT NOT NULL,
    account  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    swept_at TEXT NOT NULL,
    PRIMARY KEY (tenant, account, kind)
);
INSERT INTO new_sweeps (tenant, account, kind, swept_at)
    SELECT '', account, kind, swept_at FROM sweeps;

CREATE TABLE new_gaps (
    tenant  TEXT NOT NULL,
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,
    gaps    TEXT NOT NULL,
    PRIMARY KEY (tenant, account, kind)
);
INSERT INTO new_gaps (tenant, account, kind, gaps)
    SELECT '', account, kind, gaps FROM gaps;

CREATE TABLE new_records (
    tenant     TEXT NOT NULL,
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
    PRIMARY KEY (tenant, account, kind, parent, id)
);
INSERT INTO new_records (tenant, account, kind, parent, id, fields, changed, hash, seen_run, seen_at, changed_at, gone_at)
    SELECT '', account, kind, parent, id, fields, changed, hash, seen_run, seen_at, changed_at, gone_at FROM records;

CREATE TABLE new_links (
    tenant         TEXT NOT NULL,
    id             TEXT NOT NULL,
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
    closed_at      TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);
INSERT INTO new_links (tenant, id, flow, kind, vendor_account, vendor_kind, vendor_parent, vendor_id, psa_account, psa_kind, psa_parent, psa_id, label, state, how, created_at, closed_at)
    SELECT '', id, flow, kind, vendor_account, vendor_kind, vendor_parent, vendor_id, psa_account, psa_kind, psa_parent, psa_id, label, state, how, created_at, closed_at FROM links;

CREATE TABLE new_snapshots (
    tenant  TEXT NOT NULL,
    link    TEXT NOT NULL,
    side    TEXT NOT NULL,
    fields  TEXT NOT NULL,
    read_at TEXT NOT NULL,
    run     TEXT NOT NULL,
    PRIMARY KEY (tenant, link, side),
    FOREIGN KEY (tenant, link) REFERENCES new_links (tenant, id)
);
INSERT INTO new_snapshots (tenant, link, side, fields, read_at, run)
    SELECT '', link, side, fields, read_at, run FROM snapshots;

CREATE TABLE new_runs (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    started_at   TEXT NOT NULL,
    finished_at  TEXT NOT NULL,
    counts       TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    stop_at      TEXT NOT NULL,
    alive_at     TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);
INSERT INTO new_runs (tenant, id, kind, name, state, reason, started_at, finished_at, counts, triggered_by, stop_at, alive_at)
    SELECT '', id, kind, name, state, reason, started_at, finished_at, counts, triggered_by, stop_at, alive_at FROM runs;

CREATE TABLE new_findings (
    tenant     TEXT NOT NULL,
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
    PRIMARY KEY (tenant, flow, finding)
);
INSERT INTO new_findings (tenant, flow, finding, kind, customer, title, detail, next_step, amount, run, opened_at, updated_at, closed_at)
    SELECT '', flow, finding, kind, customer, title, detail, next_step, amount, run, opened_at, updated_at, closed_at FROM findings;

CREATE TABLE new_plans (
    tenant  TEXT NOT NULL,
    digest  TEXT NOT NULL,
    flow    TEXT NOT NULL,
    run     TEXT NOT NULL,
    made_at TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, digest)
);
INSERT INTO new_plans (tenant, digest, flow, run, made_at, body)
    SELECT '', digest, flow, run, made_at, body FROM plans;

CREATE TABLE new_journal (
    tenant     TEXT NOT NULL,
    seq        BIGINT NOT NULL,
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
    hash       TEXT NOT NULL,
    PRIMARY KEY (tenant, seq)
);
INSERT INTO new_journal (tenant, seq, written_at, intent, state, flow, run, plan, link, account, op, ref_kind, ref_parent, ref_id, body, reply, class, note, hash)
    SELECT '', seq, written_at, intent, state, flow, run, plan, link, account, op, ref_kind, ref_parent, ref_id, body, reply, class, note, hash FROM journal;

CREATE TABLE new_intents (
    tenant TEXT NOT NULL,
    intent TEXT NOT NULL,
    flow   TEXT NOT NULL,
    state  TEXT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (tenant, intent)
);
INSERT INTO new_intents (tenant, intent, flow, state, seq)
    SELECT '', intent, flow, state, seq FROM intents;

-- Snapshots before the links that they refer to.
DROP TABLE snapshots;
DROP TABLE lease;
DROP TABLE cursors;
DROP TABLE sweeps;
DROP TABLE gaps;
DROP TABLE records;
DROP TABLE links;
DROP TABLE runs;
DROP TABLE findings;
DROP TABLE plans;
DROP TABLE journal;
DROP TABLE intents;
ALTER TABLE new_lease RENAME TO lease;
ALTER TABLE new_cursors RENAME TO cursors;
ALTER TABLE new_sweeps RENAME TO sweeps;
ALTER TABLE new_gaps RENAME TO gaps;
ALTER TABLE new_records RENAME TO records;
ALTER TABLE new_links RENAME TO links;
ALTER TABLE new_snapshots RENAME TO snapshots;
ALTER TABLE new_runs RENAME TO runs;
ALTER TABLE new_findings RENAME TO findings;
ALTER TABLE new_plans RENAME TO plans;
ALTER TABLE new_journal RENAME TO journal;
ALTER TABLE new_intents RENAME TO intents;

-- One active link for a vendor record in a flow; it also is the order in which links are streamed.
CREATE UNIQUE INDEX links_by_vendor ON links (tenant, flow, kind, vendor_parent, vendor_id, vendor_kind, vendor_account)
    WHERE state = 'active';
CREATE INDEX links_by_psa ON links (tenant, flow, kind, psa_parent, psa_id) WHERE state = 'active';
-- A contract line bills one subscription, whatever flow wrote it.
CREATE UNIQUE INDEX links_claimed_lines ON links (tenant, psa_account, psa_kind, psa_parent, psa_id)
    WHERE state = 'active' AND kind = 'line';
CREATE UNIQUE INDEX runs_in_progress ON runs (tenant, kind, name) WHERE state = 'in progress';
CREATE INDEX runs_by_start ON runs (tenant, started_at, id);
CREATE INDEX plans_by_flow ON plans (tenant, flow, made_at);
CREATE INDEX journal_by_intent ON journal (tenant, intent, seq);
CREATE INDEX journal_by_link ON journal (tenant, link, seq);
CREATE INDEX journal_by_record ON journal (tenant, account, ref_id, seq);
CREATE INDEX journal_by_run ON journal (tenant, run, seq);
CREATE INDEX intents_by_state ON intents (tenant, state, flow);

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
