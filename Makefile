# make run    a whole mail server with two people and some mail, for trying out
# make test   everything that has to hold, as .ci/run does it
# make fuzz   every fuzz target for FUZZTIME
# make bench  Go's benchmarks
# make figures  how mail leaves, beside Postfix and beside dead domains; needs root
# make release VERSION=1.2.3 KEYS=...  programs, packages, checksums and bills of materials in dist/
# make lint   gofmt, vet and staticcheck

FUZZTIME    ?= 20s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0

.PHONY: run test fuzz bench figures lint release

run:
	go run ./cmd/homemail try

test:
	@.ci/stage lint $(MAKE) --no-print-directory lint
	@.ci/stage tools .ci/tools
	@.ci/stage packages go test -race ./...
	@.ci/stage whole env HOMEMAIL_TOOLS=1 go test -count=1 -timeout 30m ./test/... ./sign

fuzz:
	@grep -ro '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | while IFS=: read -r file func; do \
		.ci/stage "$${func#func }" go test -run '^$$' -fuzz "^$${func#func }\$$" \
			-fuzztime $(FUZZTIME) -fuzzminimizetime 200x "$$(dirname "$$file")" || exit; \
	done

bench:
	go test -run '^$$' -bench . -benchmem ./...

figures:
	.ci/tools
	HOMEMAIL_TOOLS=1 go test -run '^$$' -bench . -benchtime 3x -timeout 1h ./test/bench

release:
	go run ./packaging release -version "$(or $(VERSION),0.0.0)" -keys "$(KEYS)" -o dist

lint:
	@bad=$$(gofmt -l .); test -z "$$bad" || { echo "gofmt -w $$bad"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
