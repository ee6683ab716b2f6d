# What there is to make: `make help`. Building needs Go alone; everything else
# installs what it needs or says what is missing.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# The compiler that the committed BPF object is made with, to the byte.
CLANG_VERSION := 19.1.7
CLANG         := clang-19
STRIP         := llvm-strip-19
GENERATED     := $(addprefix internal/datapath/kernel/,bpf_bpfel.go bpf_bpfel.o observed_bpfel.go observed_bpfel.o)

PREFIX   := /usr/local
FUZZTIME := 1m
PACKETS  := 10000000
SEED     := 1

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/hostnat
	$(GOBUILD) -o bin/hostnat ./cmd/hostnat

.PHONY: cross
cross: ## build for arm64 too
	GOARCH=arm64 $(GOBUILD) -o bin/hostnat-arm64 ./cmd/hostnat

.PHONY: demo
demo: build ## show it at work, in network namespaces of its own (needs root)
	$(SUDO) bin/hostnat demo

# Never from the test cache: it does not know that the kernel has changed.
.PHONY: test
test: ## go vet and all tests; those of the data path need root
	go vet ./...
	go test -count=1 -timeout 1800s ./...

.PHONY: test-booted
test-booted: ## the data path's tests of time, as if the machine had booted a second ago (needs root)
	$(SUDO) env "PATH=$$PATH" HOSTNAT_UPTIME=1s go test -count=1 -timeout 600s ./internal/datapath/nattest \
		-run 'Expire|Expiry|Refresh|Lifetime|Idle|SettingsChange|AreLimited|FreedPort|HostTalks'

# New namespaces inherit the machine's IPv4 settings: here as if Docker ran on it.
.PHONY: test-outer
test-outer: ## the tests with namespaces again, as on a machine where Docker runs
	HOSTNAT_LAB_OUTER=docker go test -count=1 -timeout 1800s $$(grep -rlE --include='*_test.go' 'hostnat/(dev/lab|internal/datapath/dptest)["/]' dev internal test | xargs -n 1 dirname | sort -u | sed 's|^|./|')

.PHONY: e2e
e2e: ## try it with curl, nginx, Docker and a VM (needs root; installs them)
	$(SUDO) scripts/e2e-install.sh
	$(SUDO) env "PATH=$$PATH" go test -tags e2e -count=1 -timeout 25m ./e2e/...

.PHONY: bench
bench: build ## compare with nftables and plain routing (needs root)
	$(GOBUILD) -o bin/hostnat-bench ./dev/hostnat-bench
	$(SUDO) scripts/bench-install.sh
	$(SUDO) bin/hostnat-bench

.PHONY: generate
generate: compiler ## make the BPF object and its Go types again
	BPF_CLANG=$(CLANG) BPF_STRIP=$(STRIP) go generate ./internal/datapath/kernel

.PHONY: generate-check
generate-check: compiler ## fail if that gives anything but what is there
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && cp $(GENERATED) "$$before" && \
	$(MAKE) --no-print-directory generate && \
	for file in $(GENERATED); do \
		cmp "$$before/$${file##*/}" "$$file" || \
		{ echo "$$file is not what bpf/ gives with clang $(CLANG_VERSION): run make generate and commit the result" >&2; exit 1; }; \
	done

.PHONY: web-vendor
web-vendor: ## make the modules of others that the web page uses again (needs npm)
	scripts/web-vendor.sh

.PHONY: compiler
compiler:
	@have=$$($(CLANG) -dumpversion 2>/dev/null); \
	if [ "$$have" != $(CLANG_VERSION) ] || ! command -v $(STRIP) >/dev/null; then \
		echo "this needs $(CLANG) $(CLANG_VERSION) and $(STRIP); found: $${have:-no $(CLANG)}. On Debian: scripts/generate-install.sh" >&2; \
		exit 1; \
	fi

.PHONY: lint
lint: ## check formatting, vet, staticcheck, imports and documents
	scripts/lint.sh

.PHONY: format
format: ## format Go and C source
	gofmt -w .
	clang-format-19 -i bpf/*.c bpf/*.h

# One version of bpf/ and internal/natmodel: seed after seed from SEED on, counts as they come.
.PHONY: model
model: ## run PACKETS=10000000 generated packets through data path and model (needs root)
	$(SUDO) env "PATH=$$PATH" HOSTNAT_PACKETS=$(PACKETS) HOSTNAT_SEED=$(SEED) \
		go test ./internal/datapath -run 'TestModelForLong$$' -count=1 -timeout 0 -v

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME=1m
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## run each fuzz test for 5 s
	scripts/fuzz.sh 5s

.PHONY: manual
manual: build ## write manual pages and completions to bin/manual
	rm -rf bin/manual && mkdir -p bin/manual
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) go run -tags man -ldflags "-X main.version=$(VERSION)" ./cmd/hostnat bin/manual
	for shell in bash zsh fish; do bin/hostnat completion $$shell >bin/manual/hostnat.$$shell || exit 1; done

.PHONY: deb
deb: manual cross ## build Debian packages for amd64 and arm64 (needs dpkg-deb)
	rm -f bin/hostnat_*.deb
	GOARCH=amd64 $(GOBUILD) -o bin/hostnat-amd64 ./cmd/hostnat
	scripts/deb.sh amd64 bin/hostnat-amd64 bin/manual $(VERSION)
	scripts/deb.sh arm64 bin/hostnat-arm64 bin/manual $(VERSION)
	cd bin && sha256sum hostnat_*.deb >SHA256SUMS

.PHONY: install
install: build ## install the program, its completion and the plugins of Podman and CNI to PREFIX=/usr/local
	install -D -m 755 bin/hostnat $(DESTDIR)$(PREFIX)/bin/hostnat
	install -d $(DESTDIR)$(PREFIX)/libexec/netavark $(DESTDIR)$(PREFIX)/lib/cni
	ln -sf ../../bin/hostnat $(DESTDIR)$(PREFIX)/libexec/netavark/hostnat
	ln -sf ../../bin/hostnat $(DESTDIR)$(PREFIX)/lib/cni/hostnat
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	bin/hostnat completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hostnat
	bin/hostnat completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hostnat
	bin/hostnat completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hostnat.fish

.PHONY: uninstall
uninstall: ## remove them; run `hostnat down` before
	rm -f $(DESTDIR)$(PREFIX)/bin/hostnat $(DESTDIR)$(PREFIX)/libexec/netavark/hostnat $(DESTDIR)$(PREFIX)/lib/cni/hostnat \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hostnat \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hostnat \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hostnat.fish

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
