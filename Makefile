# vssgate: build, try, test, measure.
#
#   make demo    the whole product in one process; needs nothing but Go
#   make test    installs what the tests need (Debian packages, only those missing), then runs all of them with -race
#   make bench   the figures of docs/performance.md
#   make chaos   1,000 logins at three nodes while everything around them breaks (SEED=7 LOGINS=200; under ten minutes)
#   make vpn     logins through strongSwan, some of them held for a minute; as root
#   make simulate  three nodes at a store that fails over and forgets, by seed (SEEDS=5000)
#   make build   bin/vssgate
#   make lint    formatting, vet, staticcheck
#   VSSGATE_LONG=1 make test   what takes too long for every day besides: 100,000 tries without the password, ten million mutated packets, pam_radius held for 100 s
#   make fuzz    some thousand inputs to each fuzz target (FUZZTIME=10m for more)

# One place for the build tags: without them the push library doubles the binary.
TAGS := disable_grpc_modules,grpcnotrace
GO := go
FUZZTIME ?= 20000x
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SEEDS ?= 5000
DEMO ?=
LOGINS ?= 1000
SEED ?=

.PHONY: build demo test bench chaos vpn lint fuzz simulate packages clean

build:
	CGO_ENABLED=0 $(GO) build -tags $(TAGS) -trimpath -ldflags '-s -w' -o bin/vssgate ./cmd/vssgate

demo: build
	./bin/vssgate demo $(DEMO)

packages:
	./test/packages.sh

# -count=1: Go's cache does not see the program that whole-program tests build and run.
test: packages
	$(GO) test -tags $(TAGS) -race -count=1 -timeout 10m ./...

vpn:
	./test/packages.sh vpn
	$(GO) test -tags $(TAGS),vpn -v -timeout 15m ./test/vpn

bench:
	./test/packages.sh bench
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem -p 1 -timeout 30m ./...

chaos:
	./test/packages.sh
	$(GO) build -tags $(TAGS) -race -o bin/chaos/vssgate ./cmd/vssgate
	$(GO) test -tags $(TAGS) -c -o bin/chaos/chaos.test ./test/chaos
	CHAOS_VSSGATE=$(CURDIR)/bin/chaos/vssgate LOGINS=$(LOGINS) SEED=$(SEED) ./test/chaos/run.sh bin/chaos/chaos.test

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'not formatted: gofmt -w .'; exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	$(GO) run $(STATICCHECK) -tags $(TAGS) ./...

fuzz:
	GO=$(GO) TAGS=$(TAGS) FUZZTIME=$(FUZZTIME) ./test/fuzz.sh

simulate:
	VSSGATE_SIM_SEEDS=$(SEEDS) $(GO) test -tags $(TAGS) -run '^TestSimulatedNodesKeepTheGuarantees$$' -timeout 2h -v ./internal/login

clean:
	rm -rf bin
