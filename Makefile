# make build   bin/facet
# make demo    build, read the sample pages, show text, boxes and pictures
# make test    format, vet, tests, builds without cgo and for other systems
#
# Both do the set-up they need. CGO_ENABLED=0 in front of either uses the portable
# kernels and needs no C compiler.

# The toolchain line of go.mod counts: an older go fetches that version.
export GOTOOLCHAIN = auto

GO       ?= go
FUZZTIME ?= 30s
FUZZPKG  ?= ./...
COUNT    ?= 10

.PHONY: build demo test purego race full fuzz bench golden fixtures clean setup

build: setup
	@$(GO) build -o bin/facet ./cmd/facet

demo: build
	@rm -rf out/demo
	@bin/facet ocr fixtures/nano/heldout/ocr_0*.png --out out/demo --format jsonl,txt,overlay
	@$(GO) run ./scripts/demo out/demo

test: setup
	@bad=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && if [ -n "$$bad" ]; then echo "not formatted by gofmt:"; echo "$$bad"; exit 1; fi
	@$(GO) vet ./...
	@$(GO) vet -tags purego ./...
	@CGO_ENABLED=0 $(GO) build ./...
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build ./...
	@CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build ./...
	@$(GO) test ./...

# The tests again, with the portable kernels.
purego: setup
	@$(GO) test -tags purego ./...

race: setup
	@$(GO) test -race -timeout 60m ./...

# Adds what takes minutes, or needs Python or real weights (CONTRIBUTING.md).
full: setup
	@FACET_FULL=1 $(GO) test -count 1 -timeout 120m ./...

# Every fuzz target of the tree, or of FUZZPKG, FUZZTIME each. Making an input that was
# found smaller takes a minute by default, in which nothing is searched.
fuzz: setup
	@for pkg in $$($(GO) list $(FUZZPKG)); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$pkg || exit 1; \
		done; \
	done

# Compare two files of results with benchstat (golang.org/x/perf/cmd/benchstat).
bench: build
	@mkdir -p out
	@$(GO) test -run '^$$' -bench . -count $(COUNT) ./... | tee out/bench.txt
	@bin/facet bench

# Rewrites the recorded output of the command line; read the diff.
golden: setup
	@$(GO) test ./cmd/facet -update

# Reruns the reference implementation; fixtures/README.md says what that needs.
fixtures: setup
	@scripts/fixtures

clean:
	@rm -rf bin out

setup:
	@scripts/setup
