-- Texts compare byte by byte (COLLATE "C"), as they do in SQLite: one order everywhere, whatever the server's language. Times are UTC text of
-- fixed width, so that their order as text is their order in time; '' is no time. JSON columns are text that SQL never looks into.
-- The version is that of the SQLite schema with the same tables.

-- +goose Up
CREATE TABLE lease (
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    token      TEXT COLLATE "C" NOT NULL,
    holder     TEXT COLLATE "C" NOT NULL,
    started_at TEXT COLLATE "C" NOT NULL,
    renewed_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE cursors (
    tenant  TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    cursor  TEXT COLLATE "C" NOT NULL,
    set_at  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account)
);

CREATE TABLE sweeps (
    tenant   TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    swept_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account, kind)
);

CREATE TABLE gaps (
    tenant  TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    gaps    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account, kind)
);

CREATE TABLE records (
    tenant     TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    parent     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    fields     TEXT COLLATE "C" NOT NULL,
    changed    TEXT COLLATE "C" NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL,
    seen_run   TEXT COLLATE "C" NOT NULL,
    seen_at    TEXT COLLATE "C" NOT NULL,
    changed_at TEXT COLLATE "C" NOT NULL,
    gone_at    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account, kind, parent, id)
);

CREATE TABLE links (
    tenant         TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    flow           TEXT COLLATE "C" NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    vendor_account TEXT COLLATE "C" NOT NULL,
    vendor_kind    TEXT COLLATE "C" NOT NULL,
    vendor_parent  TEXT COLLATE "C" NOT NULL,
    vendor_id      TEXT COLLATE "C" NOT NULL,
    psa_account    TEXT COLLATE "C" NOT NULL,
    psa_kind       TEXT COLLATE "C" NOT NULL,
    psa_parent     TEXT COLLATE "C" NOT NULL,
    psa_id         TEXT COLLATE "C" NOT NULL,
    label          TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,
    how            TEXT COLLATE "C" NOT NULL,
    created_at     TEXT COLLATE "C" NOT NULL,
    closed_at      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE snapshots (
    tenant  TEXT COLLATE "C" NOT NULL,
    link    TEXT COLLATE "C" NOT NULL,
    side    TEXT COLLATE "C" NOT NULL,
    fields  TEXT COLLATE "C" NOT NULL,
    read_at TEXT COLLATE "C" NOT NULL,
    run     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, link, side),
    FOREIGN KEY (tenant, link) REFERENCES links (tenant, id)
);

CREATE TABLE runs (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    started_at   TEXT COLLATE "C" NOT NULL,
    finished_at  TEXT COLLATE "C" NOT NULL,
    counts       TEXT COLLATE "C" NOT NULL,
    triggered_by TEXT COLLATE "C" NOT NULL,
    stop_at      TEXT COLLATE "C" NOT NULL,
    alive_at     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE findings (
    tenant     TEXT COLLATE "C" NOT NULL,
    flow       TEXT COLLATE "C" NOT NULL,
    finding    TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    customer   TEXT COLLATE "C" NOT NULL,
    title      TEXT COLLATE "C" NOT NULL,
    detail     TEXT COLLATE "C" NOT NULL,
    next_step  TEXT COLLATE "C" NOT NULL,
    amount     TEXT COLLATE "C" NOT NULL,
    run        TEXT COLLATE "C" NOT NULL,
    opened_at  TEXT COLLATE "C" NOT NULL,
    updated_at TEXT COLLATE "C" NOT NULL,
    closed_at  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, flow, finding)
);

CREATE TABLE plans (
    tenant  TEXT COLLATE "C" NOT NULL,
    digest  TEXT COLLATE "C" NOT NULL,
    flow    TEXT COLLATE "C" NOT NULL,
    run     TEXT COLLATE "C" NOT NULL,
    made_at TEXT COLLATE "C" NOT NULL,
    body    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE journal (
    tenant     TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    written_at TEXT COLLATE "C" NOT NULL,
    intent     TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    flow       TEXT COLLATE "C" NOT NULL,
    run        TEXT COLLATE "C" NOT NULL,
    plan       TEXT COLLATE "C" NOT NULL,
    link       TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    op         TEXT COLLATE "C" NOT NULL,
    ref_kind   TEXT COLLATE "C" NOT NULL,
    ref_parent TEXT COLLATE "C" NOT NULL,
    ref_id     TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    reply      TEXT COLLATE "C" NOT NULL,
    class      TEXT COLLATE "C" NOT NULL,
    note       TEXT COLLATE "C" NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE intents (
    tenant TEXT COLLATE "C" NOT NULL,
    intent TEXT COLLATE "C" NOT NULL,
    flow   TEXT COLLATE "C" NOT NULL,
    state  TEXT COLLATE "C" NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (tenant, intent)
);

CREATE TABLE decisions (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    flow       TEXT COLLATE "C" NOT NULL,
    person     TEXT COLLATE "C" NOT NULL,
    verdict    TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    decided_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    used_run   TEXT COLLATE "C" NOT NULL,
    used_at    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

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
CREATE INDEX decisions_by_digest ON decisions (tenant, digest, decided_at);

-- +goose StatementBegin
CREATE FUNCTION journal_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is only ever appended to';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER journal_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_only_grows();
