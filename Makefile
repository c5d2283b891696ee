# make build   bin/facet, and bin/facet-media where FFmpeg's headers are found
# make demo    build, do each job on a few samples, show what was found and pictures with the boxes
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

# The packages that are linked to FFmpeg, all behind the build tag libav.
LIBAV    = ./video/libav ./cmd/facet-media
LEFT_OUT = facet-media is left out: the headers of FFmpeg 5.1 are not installed, so there is no video and no compressed sound

.PHONY: build demo test purego race full fuzz bench golden fixtures clean setup

build: setup
	@$(GO) build -o bin/facet ./cmd/facet
	@if scripts/have-libav; then $(GO) build -tags libav -o bin/facet-media ./cmd/facet-media; else rm -f bin/facet-media; echo "$(LEFT_OUT)"; fi

SAMPLES = fixtures/nano/heldout

demo: build
	@rm -rf out/demo
	@bin/facet ocr $(SAMPLES)/ocr_0*.png --out out/demo/ocr --format jsonl,txt,overlay
	@cd $(SAMPLES) && $(CURDIR)/bin/facet locate locate.jsonl --limit 8 --out $(CURDIR)/out/demo/locate --format jsonl,overlay
	@bin/facet transcribe $(SAMPLES)/transcribe_0*.wav --out out/demo/transcribe --format jsonl,srt
	@bin/facet caption $(SAMPLES)/caption_0*.png $$(test ! -x bin/facet-media || echo $(SAMPLES)/caption_0*.mp4 --with-speech) --out out/demo/caption
	@$(GO) run ./scripts/demo out/demo/ocr out/demo/locate out/demo/transcribe out/demo/caption

test: setup
	@bad=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && if [ -n "$$bad" ]; then echo "not formatted by gofmt:"; echo "$$bad"; exit 1; fi
	@$(GO) vet ./...
	@$(GO) vet -tags purego ./...
	@CGO_ENABLED=0 $(GO) build ./...
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build ./...
	@CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build ./...
	@if scripts/have-libav; then $(GO) build -tags libav -o bin/facet-media ./cmd/facet-media; fi
	@$(GO) test ./...
	@if scripts/have-libav; then $(GO) vet -tags libav $(LIBAV) && $(GO) test -tags libav $(LIBAV); else echo "$(LEFT_OUT)"; fi

# The tests again, with the portable kernels.
purego: setup
	@$(GO) test -tags purego ./...

race: setup
	@$(GO) test -race -timeout 60m ./...

# Adds what takes minutes, or needs Python, a cross compiler with an emulator (the arm64
# kernels), or real weights (CONTRIBUTING.md).
full: setup
	@FACET_FULL=1 $(GO) test -count 1 -timeout 120m ./...
	@if scripts/have-libav; then FACET_FULL=1 $(GO) test -count 1 -timeout 30m -tags libav $(LIBAV); fi

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
