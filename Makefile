# roamproxy: make help lists what there is. Go and make are all that is needed.
GO ?= go
FUZZTIME ?= 20s
BENCHCOUNT ?= 6
SOAK ?= 10m
KILLS ?= 200
STOP ?= 60
# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE := $(if $(shell command -v $${CC:-cc}),-race)
# Programs that some tests drive, and the Debian packages that have them. Without one its tests are left out, and make says so; where
# CI is set make fails, and so do the tests (redistest.LeaveOut).
PROGRAMS := promtool:prometheus prometheus:prometheus chromium:chromium redis-server:redis-server curl:curl docker-compose:docker-compose nginx:nginx-light systemd-analyze:systemd node:nodejs /usr/bin/python3:python3
# Modules of npm that some tests drive. make node-modules installs them there.
NODE_MODULES := axios@1.21.1 axios-retry@4.5.0 bottleneck@2.19.5 @modelcontextprotocol/sdk@1.32.2
NODE_FOLDER := /tmp/roamproxy-node
export NODE_PATH ?= $(NODE_FOLDER)/node_modules

.DEFAULT_GOAL := help
.PHONY: node-modules help jobs compare demo run test e2e program-tests simulations programs cover check fmt vet arrows bench fuzz soak release image

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## see what it is for: a simulated Roam and three tools, without roamproxy and with it (45 s, no key)
	@echo "compiling roamproxy; the first time this takes a minute or more"
	@$(GO) run ./cmd/roamproxy demo

run: ## serve, with the key in ROAM_API_KEY
	@$(GO) run ./cmd/roamproxy serve

# These start programs or wait for real time: roamproxy itself, a Redis that fails, Prometheus, a release. All that needs the client of
# Redis is among them: to compile it with -race takes 12 seconds of 2 cores. The longest come first.
PROGRAM_TESTS := ./cmd/roamproxy/e2e/... ./limiter/redisquota ./deploy/... ./cache/rediscache ./proxy/repeat/redisrepeat ./cmd/roamproxy/...
OTHER_TESTS := $(GO) list ./... | grep -vxF "$$($(GO) list $(PROGRAM_TESTS))"

# These simulate hours of traffic beside another client, and compute for a minute or two.
SIMULATIONS := TestWhatAnotherClientLeavesIsUsed|TestFloodOnEveryUpstream|TestFloodAfterAFlood|TestRecoveryAfterTrouble|TestRecoveryAfterLongTrouble|TestRecoveryOverARestart|TestBesideSteadyUse|TestBesideRandomUse|TestReplicasBesideAnotherClient|TestJitterOfTheNetwork
# These run hundreds of random schedules. make test runs the first of them, make e2e all.
SCHEDULES := TestRandomSchedules|TestInvariantsOfTheQueue
LATER_SCHEDULES := ^TestRandomSchedules$$/seed_..|^TestInvariantsOfTheQueue$$/hundred_[^0]

# Some packages wait most of the time, so that one more than there are processors is tested at once.
AT_ONCE := -p $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# make vet checks more than go test would, which would check all dependencies anew for -race.
TEST := $(GO) test $(RACE) -vet=off

test: PROGRAMS := node:nodejs python3:python3 # the others are for make e2e
test: programs ## the tests of cache, limiter, metrics and proxy, with the race detector where there is a C compiler (under 2 minutes on 2 cores)
	$(TEST) $(AT_ONCE) -skip '^($(SIMULATIONS))$$|$(LATER_SCHEDULES)' ./proxy ./limiter $$($(OTHER_TESTS))

e2e: programs ## the other tests: roamproxy itself and beside other programs, hours of simulated traffic (7 minutes, most of it waiting)
	@$(MAKE) -j2 program-tests simulations

command-tests: # those of make e2e that need no other program, but for a few
	$(TEST) ./cmd/roamproxy ./cmd/roamproxy/config ./cmd/roamproxy/server

program-tests:
	$(TEST) $(PROGRAM_TESTS)
	cd deploy/verify && $(GO) test ./...

simulations: # they take what the others leave of the processors
	nice -n 15 $(TEST) -run '^($(SIMULATIONS)|$(SCHEDULES))$$' $$(grep -rlE --include='*_test.go' '^func ($(SIMULATIONS)|$(SCHEDULES))\(' . | xargs -n 1 dirname | sort -u)

programs:
	@$(if $(RACE),,echo "no C compiler here: testing without the race detector")
	@missing() { echo "no $$1 here: its tests are left out; to run them: $$2"; some=yes; }; \
	for p in $(PROGRAMS); do command -v $${p%%:*} >/dev/null || missing $${p%%:*} "apt-get install $${p##*:}"; done; \
	/usr/bin/python3 -c 'import requests, httpx' 2>/dev/null || missing "requests and httpx of Python" "apt-get install python3-requests python3-httpx"; \
	node -e '["axios-retry", "bottleneck", "@modelcontextprotocol/sdk/client/index.js"].forEach((m) => require(m))' 2>/dev/null || \
	  missing "axios-retry, bottleneck and SDK of MCP" "make node-modules"; \
	[ "$$(id -u)" = 0 ] || missing "root" "sudo make e2e"; \
	[ -z "$$some" ] || [ -z "$$CI" ] || { echo "CI is set, so none of these may be missing"; exit 1; }

node-modules:
	npm install --silent --no-save --ignore-scripts --prefix $(NODE_FOLDER) $(NODE_MODULES)

# Of each of these, its own tests and those of the others together run more than 90 of 100 statements.
COVERED := ./limiter ./limiter/quotafile ./limiter/transport ./cache ./cache/rediscache ./proxy ./proxy/credential
COMMA := ,
cover: ## how much of the queue, the cache and the proxy the tests run, by package (2 minutes); go tool cover shows the rest
	@$(GO) test -coverpkg=$(subst $() ,$(COMMA),$(COVERED)) -coverprofile=/tmp/roamproxy-cover.out $(COVERED)
	@awk 'NR > 1 { of[$$1] = $$2; ran[$$1] += $$3 } \
	  END { for (b in of) { p = b; sub("/[^/]*$$", "", p); all[p] += of[b]; if (ran[b]) some[p] += of[b] } \
	        for (p in all) printf "%-28s %.1f %%\n", p, 100 * some[p] / all[p] }' /tmp/roamproxy-cover.out
	@echo 'go tool cover -html=/tmp/roamproxy-cover.out'

check: fmt vet arrows test command-tests ## what must hold before a commit: format, vet, staticcheck, the arrows between packages, the tests of the code and of the command

fmt:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi

vet:
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@staticcheck=$$($(GO) tool -n staticcheck) && cd deploy/verify && $(GO) vet ./... && "$$staticcheck" ./...

# The imports allowed between packages. A line that is missing here is a change of the design. Tests may also import proxy/roamtest with
# redistest and usage below it, and cmd/roamproxy/server/servertest; nothing that is shipped imports the last three.
define ARROWS
cmd/roamproxy cmd/roamproxy/config
deploy/bench/compare proxy/roamtest
cmd/roamproxy cmd/roamproxy/server
cmd/roamproxy limiter/statefile
cmd/roamproxy metrics
cmd/roamproxy metrics/status
cmd/roamproxy proxy
cmd/roamproxy proxy/credential
proxy proxy/paging
proxy/paging cache
proxy/paging proxy/httpbody
cmd/roamproxy proxy/roamtest
cmd/roamproxy/config proxy/credential
cmd/roamproxy/server/servertest cmd/roamproxy/config
cmd/roamproxy/server/servertest cmd/roamproxy/server
cmd/roamproxy/server/servertest proxy/credential
cmd/roamproxy/server/servertest proxy/roamtest
cmd/roamproxy/server cache
cmd/roamproxy/server cache/rediscache
cmd/roamproxy/server cmd/roamproxy/config
cmd/roamproxy/server limiter
cmd/roamproxy/server limiter/quotafile
cmd/roamproxy/server limiter/redisquota
cmd/roamproxy/server limiter/statefile
cmd/roamproxy/server limiter/transport
cmd/roamproxy/server metrics
cmd/roamproxy/server metrics/status
cmd/roamproxy/server proxy
cmd/roamproxy/server proxy/webhook
proxy/webhook cache
cmd/roamproxy/server proxy/credential
cmd/roamproxy/server proxy/peer
cmd/roamproxy/e2e cmd/roamproxy/config
cmd/roamproxy/e2e cmd/roamproxy/e2e/faultnet
cmd/roamproxy/e2e cmd/roamproxy/server
cmd/roamproxy/e2e metrics/status
cmd/roamproxy/e2e proxy/credential
cache cache/cachetest
cache/cachetest cache
cache/rediscache cache
cache/rediscache cache/cachetest
proxy cache
proxy limiter
proxy limiter/quotafile
proxy limiter/transport
proxy limiter/statefile
proxy proxy/credential
proxy proxy/paging
proxy/paging cache
proxy proxy/peer
proxy/credential limiter/statefile
limiter limiter/bootclock
limiter limiter/buckettest
limiter limiter/fairqueue
limiter limiter/quotafile
limiter limiter/statefile
limiter limiter/transport
limiter/transport limiter
limiter/quotafile limiter
limiter/quotafile limiter/bootclock
limiter/quotafile limiter/statefile
limiter/buckettest limiter
limiter/redisquota limiter
limiter/redisquota limiter/bootclock
limiter/redisquota limiter/buckettest
metrics/status metrics
proxy proxy/repeat
proxy proxy/budget
proxy proxy/rpc
proxy/repeat proxy/rpc
cmd/roamproxy/config proxy/rpc
proxy proxy/eventstream
proxy proxy/httpbody
proxy/credential proxy/httpbody
proxy/eventstream proxy/httpbody
cmd/roamproxy/server proxy/eventstream
proxy/budget limiter/statefile
cmd/roamproxy/server proxy/budget
proxy/repeat/redisrepeat proxy/repeat
cmd/roamproxy/server proxy/repeat
cmd/roamproxy/server proxy/repeat/redisrepeat
endef
export ARROWS

arrows:
	@list() { $(GO) list -f "{{\$$p := .ImportPath}}{{range $$1}}{{\$$p}} {{.}}{{\"\n\"}}{{end}}" ./... | sed -n 's,^roamproxy/\(.*\) roamproxy/\(.*\)$$,\1 \2,p' | sort -u; }; \
	{ list .Imports; { list .TestImports; list .XTestImports; } | awk '$$1 != $$2 && $$2 !~ "^(proxy/roamtest(/redistest|/usage)?|cmd/roamproxy/server/servertest)$$"'; } \
	  | while read -r arrow; do echo "$$ARROWS" | grep -qxF "$$arrow" || { echo "not an allowed import: $$arrow"; exit 1; }; done

# Of figures of another machine, those of bytes and allocations compare; to keep new ones: cp /tmp/roamproxy-bench.txt to their place.
BENCHED := deploy/bench/bench.txt
BENCH := $(GO) test -run '^$$' -benchmem ./cache ./limiter ./limiter/quotafile ./limiter/transport ./metrics ./metrics/status ./proxy
bench: ## the benchmarks, beside the figures that are kept (3 minutes); deploy/bench/run measures beside nginx
	@{ $(BENCH) -bench . -skip '^BenchmarkScale' -benchtime 0.2s -count $(BENCHCOUNT); $(BENCH) -bench '^BenchmarkScale' -benchtime 2x; } | tee /tmp/roamproxy-bench.txt
	@$(GO) tool benchstat -ignore cpu kept=$(BENCHED) now=/tmp/roamproxy-bench.txt

# A target whose time is over now and then fails in Go 1.26 with this line alone, and without an input that it failed for
# (golang.org/issue/75804, fixed in 1.27): that is no finding.
OVER := ' *context deadline exceeded'
FUZZLOG := /tmp/roamproxy-fuzz.txt
FUZZER := /tmp/roamproxy-fuzzer
fuzz: ## every fuzz target for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read -r p; do \
	  $(GO) test -c -fuzz . -o $(FUZZER) $$p || exit 1; \
	  for f in $$($(FUZZER) -test.list '^Fuzz'); do echo "$$p $$f"; \
	    (cd $$p && $(FUZZER) -test.run '^$$' -test.fuzz "^$$f\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir "$$($(GO) env GOCACHE)/fuzz/roamproxy/$$p") 2>&1 | tee $(FUZZLOG); \
	    grep -qx PASS $(FUZZLOG) || { grep -qx $(OVER) $(FUZZLOG) && ! grep -q 'Failing input' $(FUZZLOG); } || exit 1; done; done

PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
VERSION = $(shell git describe --tags --always --dirty)

release: export CGO_ENABLED = 0 # for the programs, and for those that run here: what they have in common is compiled once
release: ## programs for PLATFORMS, with bills of materials and check sums, in dist/; the same commit gives the same bytes
	@rm -rf dist && mkdir dist && $(GO) run -trimpath ./cmd/roamproxy man >dist/roamproxy.1
	@for p in $(PLATFORMS); do \
	  name=roamproxy-$(VERSION)-$${p%/*}-$${p#*/}; echo "$$name"; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -buildvcs=true -ldflags='-s -w' -o "dist/$$name" ./cmd/roamproxy || exit 1; done
	@$(GO) run -trimpath ./deploy/release dist

jobs: ## five typical jobs in simulated time: calls asked for, sent to Roam, seconds, and the least that is possible
	@$(GO) test -count=1 -v -run '^TestJobs$$' ./proxy | awk '/job  /,/^ *$$/'

compare: ## those jobs, a flood and lost answers beside nginx, bottleneck and a plain client (6 minutes; needs nginx, node, npm)
	@$(GO) run ./deploy/bench/compare $(COMPARE)

soak: ## the long forms of tests: SOAK (10m) of mixed load, KILLS (200) at random moments, a stop of STOP (60) seconds
	SOAK=$(SOAK) KILLS=$(KILLS) STOP=$(STOP) $(GO) test -count=1 -v -timeout 3h -run '^(TestSoak|TestAKillAtAnyMomentSpendsNothingTwice|TestAStoppedProcessSendsAtMostItsBurst)$$' ./cmd/roamproxy/e2e
	SOAK=$(SOAK) $(GO) test -count=1 -v -timeout 1h -run '^(TestFloodOnEveryUpstream|TestRecovery.*|TestBeside.*|TestAloneNothingIsRefused)$$' ./limiter

image: ## the container image; BUILD_DIGEST=sha256:… and RUN_DIGEST=sha256:… pin what it is made of
	docker build -t roamproxy --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) --build-arg BUILD_DIGEST=$(BUILD_DIGEST) --build-arg RUN_DIGEST=$(RUN_DIGEST) .
