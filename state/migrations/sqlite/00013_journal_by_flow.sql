-- +goose Up
-- What a flow wrote lately counts together with what it is about to write.
CREATE INDEX journal_by_flow ON journal (tenant, flow, written_at);

-- +goose Down
DROP INDEX journal_by_flow;
