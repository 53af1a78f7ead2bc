# Hotpatch. `make demo` shows it, `make test` tests it; CONTRIBUTING.md has the rest.
SHELL := /bin/bash
NODES ?= 1
FUZZTIME ?= 30s
TOOLS := $(CURDIR)/.cluster/bin
# One way to build everything, so that Go's cache serves all of it. Without the
# tag gRPC brings a package that keeps the linker from dropping unused methods:
# the agent would be twice as large. Nobody reads DWARF, and it takes a tenth of
# the time to compile; exported, because tests and images run go build as well.
export GOFLAGS := $(filter-out -gcflags=%,$(GOFLAGS)) -gcflags=all=-dwarf=false
GO := CGO_ENABLED=0 go
FLAGS := -trimpath -tags grpcnotrace
# A compiler that tidies up a quarter as often is done an eighth sooner, and takes
# 600 MB at the most.
LAVISH := GOGC=400
BUILD := $(LAVISH) $(GO) build $(FLAGS) -ldflags "-s -w"

.PHONY: build box cluster cluster-down images stage demo demo-down test lint vulncheck unit prove e2e box-test bench bench-plan bench-swap bench-sidecar bench-git soak soak-record fuzz test-vm forge
build: ## the four programs into bin/
	$(BUILD) -o bin/ ./cmd/...

box:
	@echo "building Kubernetes from source (some minutes the first time)"
	@cd test/cluster && $(BUILD) -o $(TOOLS)/ ./kube && $(BUILD) -o $(TOOLS)/box .

cluster: box ## a real Kubernetes on this machine (NODES=2 for two nodes)
	@$(TOOLS)/box up --nodes $(NODES)

cluster-down: ## stop it and leave nothing behind
	@test ! -x $(TOOLS)/box || $(TOOLS)/box down

images: ## our images and the examples' into the cluster's registry
	@$(BUILD) -o $(TOOLS)/ ./test/images ./test/gitserver
	@$(TOOLS)/images

stage: build cluster images ## what demo, e2e and bench play on

demo: stage ## both examples' stories, told and checked (KEEP=1 leaves it up)
	@$(BUILD) -o $(TOOLS)/ ./test/demo
	@$(TOOLS)/demo; told=$$?; \
	if [ "$(KEEP)" = 1 ]; then $(TOOLS)/demo look-around; else $(MAKE) --no-print-directory demo-down; fi; exit $$told

demo-down: ## end the demo and its cluster
	@test ! -x $(TOOLS)/demo || $(TOOLS)/demo clear
	@$(MAKE) --no-print-directory cluster-down

test: ## all tests; Kubernetes is compiled while the first of them wait
	@$(MAKE) --no-print-directory -j2 unit box
	@$(MAKE) --no-print-directory box-test
	@$(MAKE) --no-print-directory e2e; passed=$$?; $(MAKE) --no-print-directory cluster-down; exit $$passed

lint:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }
	$(GO) vet $(FLAGS) ./...
	cd test/cluster && $(GO) vet $(FLAGS) .
	GOFLAGS="$(GOFLAGS) -trimpath" $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags grpcnotrace ./...

# The database comes as the module that Go's own is made from, so that a module
# proxy is all that is needed. The newest, not a pinned one: it is to be news.
# Judged with the Go that go.mod names, also where an older one builds.
vulncheck: ## known vulnerabilities in what our programs call
	@dir=$$(cd /tmp && go mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Dir": "\(.*\)",/\1/p') && \
	test -n "$$dir" && mkdir -p .cluster/vulndb && \
	(cd "$$dir" && go run ./cmd/indexdb -vulns data/osv -out $(CURDIR)/.cluster/vulndb) && \
	GOTOOLCHAIN=auto $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db file://$(CURDIR)/.cluster/vulndb -tags grpcnotrace ./cmd/...

unit: ## all but the cluster's tests, with the race detector
	go test -race -vet=off -ldflags=-w -toolexec "env $(LAVISH)" $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep -v '/test/e2e\|/test/forge')

prove: ## the planner's rules over 100,000 random histories, its small worlds with two disturbances, and resting in 2,000 worlds
	$(GO) test -vet=off $(FLAGS) ./reconciler/plan -run 'TestAnyHistory|TestSmallWorlds' -rapid.checks=50000 -rapid.nofailfile -disturbances 2 -timeout 4h -v
	$(GO) test -vet=off $(FLAGS) ./reconciler -run TestPassesThatSkipTellTheSame -worlds 2000 -timeout 1h

box-test: box ## the cluster in a box: mends what died, leaves nothing behind
	cd test/cluster && $(GO) test -vet=off $(FLAGS) -count=1 -timeout 15m .

e2e: stage ## on the real cluster
	$(GO) test -vet=off $(FLAGS) -count=1 -parallel 6 -timeout 30m ./test/e2e

test-vm: ## the swap on other kernels, cgroups, containerds and processors (VM=name for one)
	@$(BUILD) -o $(TOOLS)/ ./test/vm
	@$(TOOLS)/vm --only "$(VM)"

# Gitea's database is in C.
forge: build ## on a real forge, Gitea, which is compiled first (minutes, once)
	@cd test/forge/gitea && CGO_ENABLED=1 $(LAVISH) go build -trimpath -tags "sqlite sqlite_unlock_notify" -ldflags "-s -w" -o $(TOOLS)/gitea code.gitea.io/gitea
	$(GO) test -vet=off $(FLAGS) -count=1 ./test/forge

soak: stage ## 300 kills of the agent, under load and with garbage collected all the while
	@$(BUILD) -o $(TOOLS)/ ./test/soak
	@$(TOOLS)/soak

soak-record: ## 300 kills of the reconciler's own program around its commits
	$(GO) test -vet=off $(FLAGS) ./reconciler -run TestKilledAroundCommits -kills 300 -count=1 -timeout 30m -v

# What a run finds lands in testdata/fuzz of its package, and is a unit test then.
fuzz: ## each fuzz target for FUZZTIME, one after another
	@grep -r --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|/[^/]*_test.go:func | |' | sort | while read -r package target; do \
		$(GO) test -vet=off $(FLAGS) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit; \
	done

bench: stage ## times, connections dropped and memory, against what people do today
	@$(BUILD) -o $(TOOLS)/ ./test/bench
	@$(TOOLS)/bench

bench-plan: ## one pass of the reconciler over 1,000 HotPatches with 10,000 pods
	@$(GO) test $(FLAGS) -vet=off -run '^$$' -bench Plan -benchtime 1x ./reconciler

bench-swap: stage ## the swap itself: its steps, its silence, a hundred pods at once
	@$(BUILD) -o $(TOOLS)/ ./test/benchswap
	@$(TOOLS)/benchswap

bench-sidecar: build ## what a sidecar costs: binary, memory, start, POST to signal
	@$(BUILD) -o $(TOOLS)/ ./test/benchsidecar
	@unshare --pid --fork --mount-proc $(TOOLS)/benchsidecar # as in a pod: few processes to look at

bench-git: ## what Git costs: polls, fetches, commits, memory; git's own program beside it
	@$(BUILD) -o $(TOOLS)/ ./test/benchgit
	@$(TOOLS)/benchgit
