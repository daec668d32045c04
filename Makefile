SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The largest binary that may be shipped, in bytes, stripped, for amd64.
MAX_SIZE := 15000000

# Parts of Tailscale's client library that the daemon never uses.
TAGS := ts_omit_clientmetrics,ts_omit_debugeventbus,ts_omit_health,ts_omit_syspolicy,ts_omit_tailnetlock

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD   := CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "-s -w -buildid= -X main.version=$(VERSION)"

# go build fails where git refuses to look at the tree (another owner, no
# commit yet); the version does not come from there anyway.
HAVE_GIT := $(shell git rev-parse --verify --quiet HEAD >/dev/null 2>&1 && echo true || echo false)
export GOFLAGS := $(GOFLAGS) -buildvcs=$(HAVE_GIT)

# Every go command below is that of go.mod, whatever the machine has: its own go
# fetches it from the module proxy.
GO := $(shell awk '$$1 == "go" { print $$2 }' go.mod)
export GOTOOLCHAIN := go$(GO)

# The linter takes minutes to build: it is kept until its version or Go's
# changes.
TOOLS := .cache/bin/$(shell { cat tools/go.sum; echo $(GO); } | sha256sum | cut -c1-16)
LINT  := $(TOOLS)/golangci-lint

# So are tailscale and tailscaled, for the tests with a real tailnet.
LAB       := .cache/bin/$(shell { cat internal/lab/tailnet/go.sum; echo $(GO); } | sha256sum | cut -c1-16)
TAILSCALE := $(LAB)/tailscaled

# The same for what makes the packages.
PACKAGE_CACHE ?= $(CURDIR)/.cache/bin
PACKAGE_TOOLS := $(PACKAGE_CACHE)/$(shell { cat tools/package/go.sum; echo $(GO); } | sha256sum | cut -c1-16)
RELEASER      := $(PACKAGE_TOOLS)/goreleaser

# make -n runs each recipe line that names MAKE itself; this one it only prints.
AGAIN = $(MAKE) --no-print-directory

# Our modules: the daemon, and the tests that need modules of others.
MODULES := . $(dir $(wildcard internal/lab/*/go.mod))

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## build the program, and show a streamed message through the proxy on loopback
	./bin/oauth-proxyd demo

.PHONY: build
build: ## build ./bin/oauth-proxyd
	$(BUILD) -o bin/oauth-proxyd ./cmd/oauth-proxyd

.PHONY: test
test: lint test-all test-sdk test-gateway test-monitoring test-tailnet test-package test-host test-bench test-siege test-path size ## all checks that a change must pass before it is merged

.PHONY: test-unit
test-unit: ## the tests without the race detector
	go test -tags $(TAGS) -timeout 2m ./internal/... ./packaging/...
	go test -count=1 -tags $(TAGS) -timeout 3m ./cmd/... # not cached: see test-sdk

.PHONY: test-all
test-all: deps ## the tests with the race detector
	@race=-race; \
	command -v $$(go env CC) >/dev/null || { race=; echo "!!! no C compiler: testing without the race detector" >&2; }; \
	set -x; go test $$race -tags $(TAGS) -timeout 10m ./internal/... ./packaging/...; status=$$?; \
	go test -count=1 $$race -tags $(TAGS) -timeout 10m ./cmd/... && exit $$status # not cached: see test-sdk

# Not cached: go test does not see that the binary, which it builds and runs, has
# changed.
.PHONY: test-sdk
test-sdk: deps ## Anthropic's own clients, the SDKs and Claude Code, through the binary
	cd internal/lab/labapi && go vet ./... && go test ./...
	cd internal/lab/sdk && go vet ./...
	cd internal/lab/sdk && go test -count=1 -tags $(TAGS) -timeout 5m ./...

# Not cached either: see test-sdk. npm fetches the gateway, which keeps its sessions in PostgreSQL.
.PHONY: test-gateway
test-gateway: deps ## the official gateway, "claude gateway", in front of the binary
	cd internal/lab/gateway && go vet ./...
	@missing=; \
	command -v npm >/dev/null || missing+=" npm"; \
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=" postgresql"; \
	if [[ $$missing ]]; then echo "!!! MISSING:$$missing: the official gateway is NOT TESTED" >&2; exit; fi; \
	set -x; cd internal/lab/gateway; TAGS=$(TAGS) go test -count=1 -timeout 10m ./...

# Without Prometheus the dashboard's form is tested and nothing else.
.PHONY: test-monitoring
test-monitoring: deps ## alerts, dashboard and metrics, with a real Prometheus
	@skip='^$$'; \
	for needed in promtool prometheus prometheus-node-exporter; do \
		command -v $$needed >/dev/null || { \
			skip='Promtool|Run|OpenMetrics'; \
			echo "!!! MISSING: $$needed: the alerts and the dashboard's queries are NOT TESTED" >&2; }; \
	done; \
	/usr/bin/python3 -c 'import prometheus_client.openmetrics' 2>/dev/null || { \
		skip+='|OpenMetrics'; \
		echo "!!! MISSING: python3-prometheus-client: the exposition is NOT TESTED with its parsers" >&2; }; \
	set -x; cd internal/lab/monitoring; go vet ./...; go test -count=1 -skip "$$skip" -tags $(TAGS) -timeout 100s ./...

# Not cached either: see test-sdk.
.PHONY: test-tailnet
test-tailnet: deps ## the binary on a real tailnet: control, relay and tailscaled on this machine
	@{ test "$$(id -u)" = 0 && test -w /dev/net/tun; } || \
		echo "!!! not root, or no /dev/net/tun: nodes with a TUN device and hosts of their own are NOT TESTED" >&2
	cd internal/lab/tailnet && go vet ./...
	cd internal/lab/tailnet && TAGS=$(TAGS) go test -count=1 -timeout 10m ./...

.PHONY: tailnet
tailnet: ## a tailnet on this machine to try things on (NODES="proxy +aperture=tag:aperture")
	cd internal/lab/tailnet && go run ./cmd/tailnet $(NODES)

.PHONY: tailscaled
tailscaled: $(TAILSCALE)
	@echo $(LAB)

# Not cached either: see test-sdk.
.PHONY: test-package
test-package: deps $(RELEASER) ## build the packages twice, and check them with lintian, dpkg and rpm
	cd internal/lab/packages && go vet ./...
	cd internal/lab/packages && go test -count=1 -timeout 30m ./...

# A release whose image cannot be made is named, and left out. Its host's life is short here.
.PHONY: test-host
test-host: deps ## the packages on throw-away hosts of Debian and Ubuntu (root)
	cd internal/lab/host && go vet ./...
	@if ! why=$$(cd internal/lab/host && go run ./cmd/host-shell -check 2>&1); then \
		echo "!!! NOT TESTED: the packages on a booted host: $$why" | head -n 1 >&2; exit; \
	fi; \
	set -x; $(AGAIN) host-packages; \
	cd internal/lab/host; go run ./cmd/host-images; \
	OAUTH_PROXYD_PACKAGES="$(CURDIR)/bin/host" go test -count=1 -timeout 15m ./...

.PHONY: test-hosts
test-hosts: deps host-packages ## the same for longer on each of those hosts, and the README's table of systems (root)
	cd internal/lab/host && go run ./cmd/host-images -must
	cd internal/lab/host && OAUTH_PROXYD_PACKAGES="$(CURDIR)/bin/host" OAUTH_PROXYD_README="$(CURDIR)/README.md" \
		go test -count=1 -timeout 30m -run '^TestLife$$' .

# Two versions of the packages, so that there is something to upgrade. They are for
# this machine only, and quicker to make than to send.
.PHONY: host-packages
host-packages: $(RELEASER)
	rm -rf bin/host
	@for version in 1.2.0 1.3.0; do \
		mkdir -p "bin/host/$$version"; \
		{ sed -e "s/goarch: .*/goarch: [$$(go env GOARCH)]/" -e 's/compression: .*/compression: gzip/' goreleaser.yaml; \
		  echo "dist: bin/host/$$version/dist"; } >"bin/host/$$version/goreleaser.yaml"; \
		$(AGAIN) release VERSION="$$version" \
			RELEASE_FLAGS="--skip=archive,sbom --config bin/host/$$version/goreleaser.yaml"; \
		cp bin/host/"$$version"/dist/*.{deb,rpm} bin/host; \
	done

RELEASE ?= bookworm

.PHONY: host-shell
host-shell: deps host-packages ## a shell on a throw-away host with the package installed (root; RELEASE=bookworm)
	cd internal/lab/host && go run ./cmd/host-shell -release "$(RELEASE)" "$(CURDIR)"/bin/host/*_1.3.0*_$$(go env GOARCH).deb

.PHONY: size
size: ## check the size of the binary for amd64
	@GOOS=linux GOARCH=amd64 $(BUILD) -o bin/amd64/oauth-proxyd ./cmd/oauth-proxyd
	@size=$$(stat -c %s bin/amd64/oauth-proxyd); \
	echo "binary: $$size bytes of less than $(MAX_SIZE)"; \
	test "$$size" -lt $(MAX_SIZE)

.PHONY: newest
newest: ## move every module to the newest Go, libraries and tools; then make test
	@.ci/newest

.PHONY: lint
lint: $(LINT) ## check style, words, vet, modernity and the module files
	go vet -tags $(TAGS) ./...
	for module in $(MODULES); do go -C $$module fix -diff ./...; done
	go mod verify
	go mod tidy -diff
	$(LINT) fmt --diff
	$(LINT) run
	go test -run Words ./internal/policy

.PHONY: fmt
fmt: $(LINT) ## format and modernize the code
	for module in $(MODULES); do go -C $$module fix ./...; done
	$(LINT) fmt

COVER := $(CURDIR)/bin/cover

.PHONY: cover
cover: ## the coverage of the tests and of the binary that they run, into bin/cover
	rm -rf $(COVER) && mkdir -p $(COVER)/binary $(COVER)/packages && chmod 777 $(COVER)/binary
	GOCOVERDIR=$(COVER)/binary go test -count=1 -tags $(TAGS) ./cmd/...
	go test -count=1 -cover -coverpkg=./... -tags $(TAGS) ./internal/... -args -test.gocoverdir=$(COVER)/packages >/dev/null
	@go tool covdata textfmt -i $(COVER)/binary,$(COVER)/packages -o $(COVER)/profile
	@go tool covdata percent -i $(COVER)/binary,$(COVER)/packages
	@go tool cover -func $(COVER)/profile | tail -n 1

FUZZTIME ?= 10s

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (10s)
	@go list ./... | while read -r package; do \
		go test -list '^Fuzz' "$$package" | { grep '^Fuzz' || true; } | while read -r target; do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

.PHONY: bench
bench: build bin/bench bin/bare ## measure beside nginx, HAProxy, Caddy and httputil: twenty minutes (BENCH=-short: five)
	@.ci/bench-deps
	bin/bench -json bin/bench.json $(BENCH)
	bin/bench -set together -rounds 10 -json bin/together.json $(BENCH)

.PHONY: bench-growth
bench-growth: build bin/bench bin/bare ## measure the cost of 10 to 5,000 streams, and of the timer slack: fifteen minutes
	@.ci/bench-deps
	bin/bench -set growth -json bin/growth.json $(BENCH)
	bin/bench -set slack -peers none -json bin/slack.json $(BENCH)

.PHONY: bench-newest
bench-newest: ## fetch the newest nginx, HAProxy and Caddy of Debian, which "make bench" then measures, too
	.ci/bench-newest bin/newest

# Always asked: the go command knows what is to be done.
.PHONY: bench-table
bench-table: bin/bench ## write the results of the last "make bench" and "make bench-growth" into docs/comparison.md
	for result in bin/{bench,together,growth,slack}.json; do [[ ! -e $$result ]] || bin/bench -json $$result -table docs/comparison.md; done

.PHONY: bin/bench bin/bare
bin/bench bin/bare:
	cd internal/lab/bench && go build -trimpath -o ../../../$@ ./cmd/$(@F)

.PHONY: test-bench
test-bench: ## the tests of the benchmark code, in seconds
	cd internal/lab/bench && go vet ./... && TAGS=$(TAGS) go test -count=1 -timeout 100s ./...

# The profiling is compiled in for this build only; the daemon's source knows nothing of it.
.PHONY: profile
profile: bin/bench bin/bare ## profile the program under the load of "make bench": bin/profiles/*.prof, for go tool pprof
	@rm -rf bin/profiles; mkdir -p bin/profiles
	@printf '{"Replace":{"%s":"%s"}}' $(CURDIR)/cmd/oauth-proxyd/profile.go $(CURDIR)/internal/lab/bench/profile/profile.go.txt >bin/overlay.json
	CGO_ENABLED=0 go build -trimpath -overlay bin/overlay.json -tags $(TAGS) -o bin/profiled ./cmd/oauth-proxyd
	PROFILES=$(CURDIR)/bin/profiles bin/bench -peers none -rounds 1 -program bin/profiled

SOAK ?= 2m

.PHONY: soak
soak: build bin/soak.bin ## look for leaks: streams that are cut, stall or are abandoned, reloads, upgrades; plots in bin/soak (SOAK=2m)
	bin/soak.bin -duration $(SOAK) -report bin/soak

.PHONY: bin/soak.bin
bin/soak.bin:
	cd internal/lab/bench && go build -trimpath -o ../../../$@ ./cmd/soak

.PHONY: siege
siege: build bin/siege ## hostile clients against the binary: 15 minutes, a table in bin/siege.md (SIEGE="-only NAME")
	@.ci/siege-deps
	bin/siege -report bin/siege.md $(SIEGE)

.PHONY: bin/siege
bin/siege:
	cd internal/lab/siege && go build -trimpath -o ../../../$@ ./cmd/siege

# Not cached either: see test-sdk.
.PHONY: test-siege
test-siege: ## the attacks of "make siege", each in seconds
	@cd internal/lab/siege && go run ./cmd/siege -unit ../../../packaging/systemd/oauth-proxyd.service -check
	cd internal/lab/siege && go vet ./... && TAGS=$(TAGS) go test -count=1 -timeout 5m ./...

# Not cached either: see test-sdk. Network namespaces need root.
.PHONY: test-path
test-path: deps ## the path to the upstream: nginx, HAProxy, squid, broken paths, silent name servers (root)
	cd internal/lab/path && go vet ./...
	@missing=; \
	for needed in ip unshare nsenter nginx haproxy squid openssl; do \
		PATH=$$PATH:/usr/sbin command -v $$needed >/dev/null || missing+=" $$needed"; \
	done; \
	test "$$(id -u)" = 0 || missing+=" root"; \
	test -x /usr/lib/squid/security_file_certgen || missing+=" squid-openssl"; \
	if [[ $$missing ]]; then echo "!!! MISSING:$$missing: the path to the upstream is NOT TESTED" >&2; exit; fi; \
	set -x; cd internal/lab/path; go test -count=1 -tags $(TAGS) -timeout 3m ./...

.PHONY: bench-go
bench-go: ## the benchmarks of the packages, with their allocations
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem ./...

.PHONY: package
package: release ## build .deb, .rpm, .tar.gz, SHA256SUMS and SBOMs into dist
	@ls -l dist/*.deb dist/*.rpm dist/*.tar.gz dist/*.json dist/SHA256SUMS

# goreleaser asks git where the project is from, and makes up what git says
# where git does not know. SHA256SUMS is signed if there is a key (packaging/key).
.PHONY: release
release: $(RELEASER)
	@signs=--skip=sign; [[ -z "$${SIGNING_KEY-}$${SIGNING_KEY_ID-}" ]] || signs=; \
	export TAGS=$(TAGS) VERSION=$$(packaging/version "$(VERSION)") PATH="$(PACKAGE_TOOLS):$$PATH"; \
	export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=file:///oauth-proxyd; \
	goreleaser release --snapshot --clean $$signs $(RELEASE_FLAGS)

PACKAGES       ?= dist
REPOSITORY     ?= bin/repository
REPOSITORY_URL ?= https://OWNER.github.io/oauth-proxyd

# SIGNING_KEY or SIGNING_KEY_ID is the key (packaging/key).
.PHONY: repository
repository: ## a signed repository for apt and dnf, bin/repository, from the packages in PACKAGES (dist)
	@packaging/repository $(REPOSITORY) $(REPOSITORY_URL) $(PACKAGES)

.PHONY: deps
deps: ## install what the tests need besides Go (Debian, as root)
	@.ci/deps

.PHONY: clean
clean: ## remove what was built, except the tools in .cache
	rm -rf bin dist

$(LINT):
	@echo "building golangci-lint: a few minutes, once"
	@mkdir -p $(TOOLS)
	cd tools && go build -trimpath -ldflags "-s -w" -o ../$(TOOLS)/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# One at a time, for several tests may ask for it at once, and moved when complete.
$(TAILSCALE):
	@mkdir -p $(LAB)/new
	@exec 9>$(LAB)/lock; flock 9; \
	if test -e $@; then exit 0; fi; \
	echo "building tailscale and tailscaled: a few minutes, once" >&2; \
	cd internal/lab/tailnet; \
	version=$$(go list -m -f '{{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}' tailscale.com); version=$${version#v}; \
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X tailscale.com/version.longStamp=$$version -X tailscale.com/version.shortStamp=$$version" \
		-o $(CURDIR)/$(LAB)/new/ tailscale.com/cmd/tailscale tailscale.com/cmd/tailscaled; \
	mv $(CURDIR)/$(LAB)/new/tailscale $(CURDIR)/$(LAB)/; \
	mv $(CURDIR)/$(LAB)/new/tailscaled $(CURDIR)/$(LAB)/

$(RELEASER):
	@echo "building goreleaser and cyclonedx-gomod: a few minutes, once"
	@mkdir -p $(PACKAGE_TOOLS)
	cd tools/package && go build -trimpath -ldflags "-s -w" -o $(PACKAGE_TOOLS)/ \
		github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod github.com/goreleaser/goreleaser/v2
