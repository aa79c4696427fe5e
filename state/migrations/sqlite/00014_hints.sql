-- Where somebody said that something moved: to be looked at sooner. And which messages were seen, so that one that is sent again says nothing.

-- +goose Up
CREATE TABLE hints (
    tenant    TEXT NOT NULL,
    flow      TEXT NOT NULL,
    account   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    parent    TEXT NOT NULL,
    id        TEXT NOT NULL,
    given_at  TEXT NOT NULL,
    PRIMARY KEY (tenant, flow, account, kind, parent, id)
);

CREATE TABLE hints_seen (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    message    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    PRIMARY KEY (tenant, account, message)
);

CREATE INDEX hints_seen_expire ON hints_seen (tenant, expires_at);

-- +goose Down
DROP TABLE hints_seen;
DROP TABLE hints;
