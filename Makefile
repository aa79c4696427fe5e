# trueup. `make help` lists what can be made. Only Go and make are needed.

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BIN      := bin/trueup
DEMO_ARGS ?=
BENCH     ?=
SOAK      ?= 10000
SEED      ?= 1
CUSTOMERS ?= 2000
KILLS     ?= 12
FUZZTIME  ?= 30s

# SQLite comes as C translated to Go; checking its every pointer takes a third of the processor time of a test under the race detector (13 s instead of 21 in
# internal/daemon) and says nothing about trueup, whose own pointers are checked.
RACE      := -race '-gcflags=modernc.org/...=-d=checkptr=0'

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run the whole product on local stand-ins of the outside systems; DEMO_ARGS=--once runs it once and stops
	go run ./cmd/trueup demo $(DEMO_ARGS)

# Without cgo the binary needs nothing from the machine it runs on. Its version comes from the commit or tag, which the Go
# tool writes into it.
.PHONY: build
build: ## build one static binary: bin/trueup
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(BIN) ./cmd/trueup

# The race detector is C code: it needs cgo and a C compiler.
.PHONY: test
test: ## run all tests, with the race detector where a C compiler is present
	@if [ -z "$$TRUEUP_TEST_POSTGRES" ]; then \
		echo '*** NOT TESTED: PostgreSQL. TRUEUP_TEST_POSTGRES names no server. Only the SQLite half of the store is tested.' >&2; \
		echo '*** Start one and run make test again before you change state:  eval "$$(.ci/postgres start /tmp/trueup-postgres)"' >&2; \
	fi
	@compiler="$$(go env CC)"; \
	if [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$${compiler%% *}" >/dev/null 2>&1; then \
		echo "go test $(RACE) -timeout 20m ./..."; go test $(RACE) -timeout 20m ./...; \
	else \
		echo '*** NOT TESTED: data races. The race detector needs a C compiler and cgo, and there is none here.' >&2; \
		echo '*** Install gcc or clang and run make test again before you send a change.' >&2; \
		echo go test -timeout 20m ./...; go test -timeout 20m ./...; \
	fi

.PHONY: check
check: format vet lint test generated ## everything the build checks: format, vet, lint, tests, generated files

.PHONY: format
format: ## fail on files that gofmt would change
	@files="$$(gofmt -l .)"; if [ -n "$$files" ]; then echo "run gofmt -w on: $$files" >&2; exit 1; fi

.PHONY: vet
vet: ## go vet, with and without the contract checks
	go vet ./...
	go vet -tags contract ./internal/contract

.PHONY: lint
lint: ## golangci-lint, at the pinned version; the first run compiles it
	go run $(GOLANGCI) run ./...

.PHONY: generate
generate: ## write the generated files anew: the reference pages in docs/reference
	go generate ./...

# Generating writes in place, so the files are compared with copies taken before. Only files that say they are generated
# count; a working tree with other changes is no obstacle.
.PHONY: generated
generated: ## fail when generated files are out of date
	@before="$$(mktemp)"; after="$$(mktemp)"; trap 'rm -f "$$before" "$$after"' EXIT; \
	sums() { { git ls-files -z --cached --others --exclude-standard | xargs -0 cksum; } 2>/dev/null; }; \
	sums >"$$before"; go generate ./... || exit 1; sums >"$$after"; \
	if ! diff "$$before" "$$after" >/dev/null; then \
		echo 'generated files were out of date and are new now; look at them and commit them:' >&2; \
		diff "$$before" "$$after" | awk '/^>/{print "  " $$4}' >&2; exit 1; \
	fi

# Compares the connectors and their stand-ins with published API documents, which are not part of this repository.
.PHONY: contract
contract: ## check connectors against the API documents in TRUEUP_SPECS
	go test -count=1 -tags contract ./internal/contract

.PHONY: bench
bench: ## print the figures; BENCH="plan quiet" picks some of plan, daemons, first, quiet, changes, scan and sooner
	go run ./internal/bench $(BENCH)

# What make test does a little of: histories of random edits, faults and deaths, in memory and, a tenth as many, over HTTP. SEED=n begins with that
# one, as a failure names it.
.PHONY: soak
soak: ## live through random histories and print what became of them; SOAK=10000 is how many
	go test ./internal/soak -count=1 -timeout 4h -run '^TestSoak$$' -v -args -soak=$(SOAK) -soak.seed=$(SEED)
	go test ./internal/e2e -count=1 -timeout 4h -run '^TestHistories$$' -args -soak=$$(( ($(SOAK) + 9) / 10 )) -soak.seed=$(SEED)
	go test ./engine -count=1 -timeout 4h -run '^TestAYearOfTermEnds$$' -v -args -year.customers=1000

# What make test does with fewer. TRUEUP_TEST_POSTGRES names the server; without it nothing is tested, so that is refused.
.PHONY: daemons
daemons: ## kill three daemons on one PostgreSQL, KILLS=12 times, while they bill CUSTOMERS=2000
	@test -n "$$TRUEUP_TEST_POSTGRES" || { echo 'daemons: TRUEUP_TEST_POSTGRES names no server; start one:  eval "$$(.ci/postgres start /tmp/trueup-postgres)"' >&2; exit 1; }
	go test ./cmd/trueup -count=1 -timeout 4h -run '^TestDaemons$$' -v -args -daemons.customers=$(CUSTOMERS) -daemons.kills=$(KILLS)

# What make test does with the seeds alone, in testdata/fuzz and in the tests. A new input that breaks a promise is kept there by go test; mend it and commit both.
.PHONY: fuzz
fuzz: ## feed made-up files and replies to every reader, FUZZTIME (30s) each
	@grep -rnE --include='*_test.go' '^func Fuzz[A-Za-z]+\(' . | while IFS=: read -r file _ func; do \
		name="$${func#func }"; name="$${name%%(*}"; \
		echo go test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME); \
		go test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) </dev/null || exit 1; \
	done

.PHONY: clean
clean: ## remove what make build made
	rm -rf bin
