-- Where somebody said that something moved: to be looked at sooner. And which messages were seen, so that one that is sent again says nothing.

-- +goose Up
CREATE TABLE hints (
    tenant    TEXT COLLATE "C" NOT NULL,
    flow      TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    parent    TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    given_at  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, flow, account, kind, parent, id)
);

CREATE TABLE hints_seen (
    tenant     TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account, message)
);

CREATE INDEX hints_seen_expire ON hints_seen (tenant, expires_at);

-- +goose Down
DROP TABLE hints_seen;
DROP TABLE hints;
