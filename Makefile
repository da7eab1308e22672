# Every habit is a target. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
MODELOPT := .venv-modelopt
NNCF := .venv-nncf
BACKBONES := .venv-backbones
DATA ?= $(if $(WAYPOST_DATA),$(WAYPOST_DATA),../shared/data)
PIP := -m pip --quiet --disable-pip-version-check
NOT_HERE := not browser and not peers and not root and not gpu and not bench and not workbench
export OMP_NUM_THREADS ?= 1

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-zA-Z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sort \
	  | awk -F':.*## ' '{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}'

# --- environments ---------------------------------------------------------------------------

.PHONY: has-venv
has-venv:
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 10) <= sys.version_info < (3, 14)))' \
	  || { echo "Waypost needs Python 3.10 to 3.13; $(PYTHON) is another. Try make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; } \
	  || { echo "Python's venv is missing. Run: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/device.done: requirements/device.lock pyproject.toml | has-venv
	@echo "Installing the device environment into $(VENV) …"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) install --require-hashes -r requirements/device.lock
	@$(BIN)/python $(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/dev.done: $(VENV)/device.done requirements/dev.lock
	@echo "Installing the development tools into $(VENV) …"
	@$(BIN)/python $(PIP) install -r requirements/dev.lock
	@touch $@

$(BENCH)/workbench.done: requirements/workbench.lock pyproject.toml | has-venv
	@echo "Installing the workbench (torch) into $(BENCH) …"
	@[ -x $(BENCH)/bin/python ] || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python $(PIP) install -r requirements/workbench.lock
	@$(BENCH)/bin/python $(PIP) install --no-deps --editable .
	@touch $@

$(BACKBONES)/backbones.done: requirements/backbones.lock pyproject.toml | has-venv
	@echo "Installing timm, torchvision and OpenVINO into $(BACKBONES) …"
	@[ -x $(BACKBONES)/bin/python ] || $(PYTHON) -m venv $(BACKBONES)
	@$(BACKBONES)/bin/python $(PIP) install -r requirements/backbones.lock
	@$(BACKBONES)/bin/python $(PIP) install --no-deps --editable .
	@touch $@

.PHONY: device dev workbench backbones
device: $(VENV)/device.done ## Make the device environment (no torch)
dev: $(VENV)/dev.done ## Add the development tools to it
workbench: $(BENCH)/workbench.done ## Make the workbench environment (torch)
backbones: $(BACKBONES)/backbones.done ## Make the environment with all backbones (several GB: timm, OpenVINO)

# --- run ------------------------------------------------------------------------------------

.PHONY: run
run: device ## Start the appliance, send it the samples over DICOM, serve (ONCE=1: end after the table)
	@$(BIN)/python -m appliance.processes.samples $(if $(ONCE),--once)

# --- checks ---------------------------------------------------------------------------------

.PHONY: test
test: dev ## Run the tests that need no network, no GPU, no root
	@$(BIN)/python -m pytest -q -n 2 -m "$(NOT_HERE)"

.PHONY: check
check: format lint types layers docs ## Format, lint, types, layers, docs, device tests: under two minutes
	@$(BIN)/python -m pytest -q -n 2 -m "$(NOT_HERE) and not slow"

.PHONY: format
format: dev ## See that the code is formatted
	@$(BIN)/ruff format --check --quiet .

.PHONY: tidy
tidy: dev ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

.PHONY: lint
lint: dev ## ruff and deptry
	@$(BIN)/ruff check --quiet .
	@$(BIN)/deptry . 2>&1 | tail -n 20

.PHONY: types
types: dev ## mypy, strict
	@$(BIN)/mypy

.PHONY: layers
layers: dev ## Who may import whom
	@$(BIN)/lint-imports --no-logo | tail -n 20

.PHONY: docs
docs: dev ## Hold the documentation against the code
	@$(BIN)/python -m pytest -q tests/architecture

.PHONY: coverage
coverage: dev ## All device tests with branch coverage (at least 90 %)
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest -q -n 2 -m "not gpu and not bench and not workbench" --cov --cov-report=
	@$(BIN)/coverage report

.PHONY: test-workbench
test-workbench: workbench ## The workbench's own tests (torch)
	@$(BENCH)/bin/python -m pytest -q -m workbench tests/quantize

.PHONY: test-backbones
test-backbones: backbones ## The tests of all backbones, timm's too
	@$(BACKBONES)/bin/python -m pytest -q -m workbench tests/quantize/test_backbones.py

RTX := 1.7.1.116
.PHONY: tensorrt-rtx test-tensorrt-rtx
tensorrt-rtx: workbench
	@$(BENCH)/bin/python -c 'import tensorrt_rtx' 2>/dev/null || [ "$$(uname -m)" != x86_64 ] \
	  || $(BENCH)/bin/python $(PIP) install --no-deps tensorrt_rtx_cu13_libs==$(RTX) \
	    tensorrt_rtx_cu13_bindings==$(RTX) tensorrt_rtx_cu13==$(RTX) \
	  || echo "TensorRT-RTX cannot be installed here"

test-tensorrt-rtx: tensorrt-rtx ## Build the TensorRT graphs ahead with TensorRT-RTX, no GPU needed (x86-64, 95 MB)
	@$(BENCH)/bin/python -m pytest -q -m tensorrt_rtx tests/quantize/test_tensorrt_contract.py

.PHONY: test-pythons
test-pythons: ## The device suite on each Python from 3.10 to 3.13 that this machine has
	@for version in 3.10 3.12 3.13; do \
	  found=; \
	  for python in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python; do \
	    if "$$python" -c 'import ensurepip' 2>/dev/null; then found=$$python; break; fi; done; \
	  if [ -n "$$found" ]; then \
	    echo "Python $$version"; \
	    $(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON="$$found"; \
	  else echo "Python $$version is not on this machine: skipped"; fi; done

.PHONY: wheels
wheels: dev ## See that the device's lock has wheels for aarch64 on Python 3.10 and 3.12
	@for version in 3.10 3.12; do \
	  $(BIN)/uv pip install --dry-run --quiet --no-deps --only-binary :all: --python-version $$version \
	    --python-platform aarch64-manylinux_2_28 --target .cache/wheels-$$version \
	    -r requirements/device.lock && echo "aarch64, Python $$version: every package has a wheel"; done

.PHONY: device-size
device-size: ## Size of a fresh device environment (at most 600 MB)
	@rm -rf .venv-size && $(MAKE) --no-print-directory device VENV=.venv-size >/dev/null
	@du -sm .venv-size | awk '{print $$1 " MB"; exit ($$1 > 600)}'
	@rm -rf .venv-size

.PHONY: ci
ci: format lint types layers docs wheels coverage test test-workbench test-tensorrt-rtx test-pythons ## All of it

.PHONY: lock
lock: dev ## Resolve the lock files anew
	@bash requirements/lock.sh

# --- models ---------------------------------------------------------------------------------

.PHONY: train
train: workbench ## Train, judge and package a model: make train RECIPE=cxr-pneumonia OUT=.cache/package
	@$(BENCH)/bin/python -m quantize run quantize/recipes/$(or $(RECIPE),cxr-pneumonia).toml \
	  --data $(DATA) --out $(or $(OUT),.cache/package)

.PHONY: evaluate
evaluate: workbench ## AUROC with intervals, per site, of the shipped model: make evaluate MODEL=models/…
	@$(BENCH)/bin/python -m quantize evaluate $(or $(MODEL),$(lastword $(sort $(wildcard models/cxr-pneumonia/*)))) \
	  --data $(DATA)

# --- measures -------------------------------------------------------------------------------

.PHONY: bench-latency bench-ingest bench-kills bench-report
bench-latency: dev ## Last byte to committed reading, start-up, memory: 30 sends of the 7.2 MB film
	@$(BIN)/python bench/latency.py
bench-ingest: dev ## Durable C-STORE rate beside Orthanc's, in one run
	@$(BIN)/python bench/ingest_rate.py
bench-kills: dev ## 200 random kill -9 of receiver and worker under load; a full disk
	@$(BIN)/python bench/kills.py

.PHONY: bench-backbones bench-backbones-report
bench-backbones: backbones ## Size, MACs, parity and speed of each backbone; OpenVINO on the same files
	@$(BACKBONES)/bin/python bench/backbones.py
	@$(MAKE) --no-print-directory bench-backbones-report
bench-backbones-report: dev ## Write docs/backbones.md from what was measured
	@$(BIN)/python bench/backbones_report.py

# Each quantizer pins an onnx and an onnxruntime of its own, so each has an environment of its own.
$(MODELOPT)/modelopt.done: requirements/modelopt.lock | has-venv
	@echo "Installing NVIDIA's Model Optimizer into $(MODELOPT) (2 GB) …"
	@[ -x $(MODELOPT)/bin/python ] || $(PYTHON) -m venv $(MODELOPT)
	@$(MODELOPT)/bin/python $(PIP) install -r requirements/modelopt.lock
	@touch $@

$(NNCF)/nncf.done: requirements/nncf.lock | has-venv
	@echo "Installing NNCF into $(NNCF) …"
	@[ -x $(NNCF)/bin/python ] || $(PYTHON) -m venv $(NNCF)
	@$(NNCF)/bin/python $(PIP) install -r requirements/nncf.lock
	@touch $@

.PHONY: bench-medmnist bench-transfer bench-tries
bench-medmnist: workbench ## The recipe on PneumoniaMNIST, three seeds (an hour); writes docs/pneumoniamnist.md
	@OMP_NUM_THREADS=1 PYTHONPATH=. $(BENCH)/bin/python bench/medmnist.py --data $(DATA)

bench-transfer: workbench ## ImageNet's weights against none (20 minutes); writes docs/transfer.md
	@OMP_NUM_THREADS=1 PYTHONPATH=. $(BENCH)/bin/python bench/transfer.py --data $(DATA)

bench-tries: workbench ## Short trainings with a hospital left out (40 minutes)
	@OMP_NUM_THREADS=1 PYTHONPATH=. $(BENCH)/bin/python bench/tries.py --data $(DATA)

.PHONY: bench-quantizers
bench-quantizers: tensorrt-rtx $(MODELOPT)/modelopt.done $(NNCF)/nncf.done ## Three quantizers on one network; writes docs/quantizers.md
	@$(BENCH)/bin/python bench/quantizers.py --data $(DATA)
	@$(BENCH)/bin/python bench/quantizers_report.py

bench-drift bench-drift-report: dev
bench-drift: ## How soon a changed detector is found, and false alarms (needs the data sets)
	@$(BIN)/python bench/drift.py
bench-drift-report: ## Write the measured part of docs/drift.md
	@$(BIN)/python bench/drift_report.py

.PHONY: quality-limits bench-quality
quality-limits: dev ## Derive the quality check's limits from training and validation films
	@$(BIN)/python bench/quality_limits.py --data $(DATA)
bench-quality: dev ## Make each defect on the test films, count what is found; write docs/quality.md
	@$(BIN)/python bench/quality.py --data $(DATA)
	@$(BIN)/python bench/quality_report.py

.PHONY: bench-kinds
bench-kinds: workbench ## Pictures of something else: the gate beside Chester's rule; writes docs/kinds.md
	@$(BENCH)/bin/python bench/kinds.py --data $(DATA)

.PHONY: bench-certainty
bench-certainty: workbench ## Coverage of the conformal answer and calibration error, by split; writes docs/certainty.md
	@$(BENCH)/bin/python bench/certainty.py --data $(DATA)

bench-report: dev ## Write docs/measurements.md from what was measured
	@$(BIN)/python bench/report.py

.PHONY: pictures
pictures: dev ## Take the README's pictures anew (needs Debian's chromium)
	@$(BIN)/python docs/pictures/make.py

.PHONY: clean
clean: ## Remove what the targets made (environments too)
	@rm -rf .venv .venv-* .run .cache .work test-output bench/out .mypy_cache .ruff_cache .pytest_cache
