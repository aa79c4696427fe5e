-- When the next request of an account may begin, whoever sends it, and until when the system asked to be left alone.

-- +goose Up
CREATE TABLE budgets (
    tenant     TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    next_at    TEXT COLLATE "C" NOT NULL,
    held_until TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account)
);

-- +goose Down
DROP TABLE budgets;
