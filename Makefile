# `make demo` measures this machine; `make test` checks everything. Both install libtorch into .libtorch/ first.
# Arguments for the demo: make demo ARGS="--workload linear --budget 30s"; the report's folder: OUTPUT=DIR. Any cargo option: CARGOFLAGS=--offline.

CARGO ?= cargo
CARGOFLAGS ?=
ARGS ?=
OUTPUT ?= batchstep-report

.PHONY: help demo test lint build bench bench-fleet bench-retention validate validate-nightly properties faults simulate fuzz libtorch clean-report

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: build ## Measure this machine's parallelism step sizes (a few minutes) and write batchstep-report/
	@touch target/demo-started
	@# 3: an answer is incomplete, as on a busy machine. It says so itself, and is no failure of make, unless nothing was measured at all:
	@# then this run has written no block below the header of blocks.csv.
	target/debug/batchstep local --output "$(OUTPUT)" $(ARGS) || { [ $$? -eq 3 ] \
	  && [ "$(OUTPUT)/blocks.csv" -nt target/demo-started ] && sed 1d "$(OUTPUT)/blocks.csv" | grep -q .; }

test: lint ## Formatting, clippy with warnings denied, all tests
	$(CARGO) build --workspace --bins $(CARGOFLAGS)
	$(CARGO) test --workspace --no-fail-fast $(CARGOFLAGS)

lint: libtorch ## Formatting and clippy only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(CARGOFLAGS) -- -D warnings
	python3 scripts/check_sources.py

build: libtorch ## The three binaries, into target/debug
	$(CARGO) build --workspace --bins $(CARGOFLAGS)

bench: libtorch ## The figures of docs/results: needs a complete PyTorch in .venv and 40 minutes
	scripts/venv
	$(CARGO) build --workspace --bins $(CARGOFLAGS)
	$(CARGO) build --release -p batchstep-agent $(CARGOFLAGS)
	$(CARGO) build --release -p batchstep-nvml --example cost $(CARGOFLAGS)
	$(CARGO) build -p batchstep-worker --example loop $(CARGOFLAGS)
	.venv/bin/python tests/bench/figures.py $(ARGS)

bench-fleet: ## What a coordinator costs under 100, 1,000 and 10,000 agents, release profile (about 12 minutes; ARGS=--quick: 3)
	$(CARGO) build --release -p batchstep-coordinator -p batchstep-load --bins $(CARGOFLAGS)
	target/release/bench-fleet $(ARGS)

bench-retention: ## What nights cost on the disk and what compaction brings back, release profile (about 10 minutes; ARGS="--series 30": a tenth)
	$(CARGO) run --release -q -p batchstep-coordinator $(CARGOFLAGS) --example retention -- $(ARGS)

validate: ## How often the inference is right, on seeded traces of every class of laws: docs/results/inference.md (about 10 minutes)
	$(CARGO) run --release -q -p batchstep-inference $(CARGOFLAGS) --example validate -- $(or $(ARGS),--check)

validate-nightly: ## How often the judge of nights is right, on simulated nights: docs/results/nightly.md (about 5 minutes)
	$(CARGO) run --release -q -p batchstep-judge $(CARGOFLAGS) --example validate -- $(or $(ARGS),--check)

properties: libtorch ## All property tests with random inputs, RUNS=20 times; prints the command that shows a failure again
	scripts/properties $(or $(RUNS),20) $(SEED)

faults: libtorch ## Random schedules of faults, RUNS=20 of them, on real processes; prints the command that shows a failure again (20 s each)
	$(CARGO) build --workspace --bins $(CARGOFLAGS)
	scripts/faults $(or $(RUNS),20) $(SEED)

simulate: ## SEEDS=10000 worlds from START=0 on, with faults, on all cores; prints the command that shows a failure again
	$(CARGO) build -q --profile simulation -p batchstep-simulation $(CARGOFLAGS)
	target/simulation/batchstep-simulation campaign --seeds $(or $(SEEDS),1000) --start $(or $(START),0) \
	  --command "target/simulation/batchstep-simulation seed" $(ARGS)

fuzz: ## Every fuzz target for SECONDS=60, or only TARGET=name; what it finds is kept in tests/fuzz/artifacts
	scripts/fuzz $(or $(SECONDS),60) $(TARGET)

libtorch: ## Install libtorch into .libtorch/ unless LIBTORCH says where yours is
	@scripts/libtorch

clean-report: ## Remove the demo's report
	rm -rf batchstep-report
