# `make demo` shows Bellwether at work, `make test` runs everything.
# Set-up targets install what is missing; they may be run again at any time.

GO ?= go
BIN := bin/bellwether
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME ?= 10s
DURATION ?=

.DEFAULT_GOAL := build
.PHONY: build test test-short test-long chaos rto lint fuzz bench bench-replication integration check demo clean \
	setup setup-demo setup-bench setup-mysql setup-mariadb-11.8 setup-images

build:
	$(GO) build -trimpath -ldflags '-X main.release=$(VERSION)' -o $(BIN) ./cmd/bellwether

# Everything: unit tests, with the race detector, over real servers.
test: setup
	$(GO) vet ./...
	$(GO) test -race -count=1 -timeout 30m ./...

# What needs no database server.
test-short:
	$(GO) test -short ./...

# The long forms: a million reads over thousands of sessions, without the race
# detector, which would only make them rarer; a coordinator that dies at each step of a
# failover; 43 seconds of partition; half an hour of noise.
test-long: setup
	BELLWETHER_LONG=1 $(GO) test -count=1 -timeout 4h -v -run TestScenario25Guarantees ./integration/history
	BELLWETHER_LONG=1 $(GO) test -race -count=1 -timeout 1h -v -run 'TestScenario(30|37)' ./integration/failover ./integration/chaos
	BELLWETHER_NOISE=30m $(GO) test -race -count=1 -timeout 1h -v -run TestNoise ./integration/chaos

# Random faults: two hundred rounds, about half an hour. BELLWETHER_SEED makes the plans of
# an earlier run again, BELLWETHER_ROUND begins with one of its rounds.
chaos: setup
	BELLWETHER_ROUNDS=$${BELLWETHER_ROUNDS:-75} $(GO) test -race -count=1 -timeout 4h -v -run TestChaos ./integration/chaos

# How long a failover and a switchover take: fifty of each under load.
rto: setup
	BELLWETHER_SERIES=$${BELLWETHER_SERIES:-50} $(GO) test -count=1 -timeout 2h -v -run TestSeries ./integration/chaos

integration: setup
	$(GO) test -race -count=1 -timeout 30m ./internal/sandbox/... ./integration/...

lint:
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt on these'; exit 1; }
	scripts/lint.sh

# Each fuzz target for FUZZTIME.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: setup-bench build
	$(GO) run ./integration/bench

# The engine beside the servers' own replication.
bench-replication: setup-bench setup-mysql
	$(GO) run ./integration/replbench

check: lint test build

demo: setup-demo build
	$(BIN) demo $(if $(DURATION),--duration $(DURATION))

clean:
	rm -rf bin .cache/test

setup:
	scripts/setup.sh

setup-demo:
	scripts/setup.sh demo

setup-bench:
	scripts/setup.sh bench

setup-mysql:
	scripts/setup-mysql.sh

setup-mariadb-11.8:
	scripts/setup-mariadb-11.8.sh

setup-images:
	scripts/setup-images.sh
