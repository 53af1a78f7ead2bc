# Hotpatch. `make demo` shows it, `make test` tests it; CONTRIBUTING.md has the rest.
SHELL := /bin/bash
NODES ?= 1

.PHONY: build cluster cluster-down
build: ## the four programs into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ ./cmd/...

cluster: ## a real Kubernetes on this machine (NODES=2 for two nodes)
	cd test/cluster && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../.cluster/bin/box . && ../../.cluster/bin/box up --nodes $(NODES)

cluster-down: ## stop it and leave nothing behind
	@test ! -x .cluster/bin/box || .cluster/bin/box down
