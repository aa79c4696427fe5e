-- When the next request of an account may begin, whoever sends it, and until when the system asked to be left alone.

-- +goose Up
CREATE TABLE budgets (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    next_at    TEXT NOT NULL,
    held_until TEXT NOT NULL,
    PRIMARY KEY (tenant, account)
);

-- +goose Down
DROP TABLE budgets;
