# Every target makes the virtual environment that it needs; a second run finds it ready.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo serve environment test distributed lint bench lock clean

TORCH ?= torch==2.13.0
ARGS ?=
BENCH ?= $(basename $(notdir $(wildcard tests/benchmarks/[a-z]*.py)))

serving := .ci/venv .venv cpu
testing := .ci/venv .venv-test cpu,scale,train,test $(TORCH)

help: ## say what there is
	@printf 'make TARGET\n'
	@sed -nE 's/^([a-z]+): ## (.*)/  \1\t\2/p' Makefile | expand -t 15

demo: ## search synthetic people in a running service, then stop (about a minute)
	@$(serving)
	@.venv/bin/python -m service.demo $(ARGS)

serve: ## run the service on 127.0.0.1:8000, gallery in ./data (PORT=, DATA=, or any DGRL_ variable)
	@$(serving)
	@exec .venv/bin/dgrl serve $(if $(PORT),--port '$(PORT)') $(if $(DATA),--data-dir '$(DATA)') $(ARGS)

environment: ## set up .venv-test, which training and tests run in (installs PyTorch; TORCH=)
	@$(testing)

test: ## run the default tests (ARGS= goes to pytest)
	@$(testing)
	@.venv-test/bin/python -m pytest $(ARGS)

distributed: ## run the gallery's tests on Milvus: a real server, and Milvus Lite (some minutes)
	@$(testing)
	@.venv-test/bin/python -m pytest -m "milvus or lite" $(ARGS)

lint: ## check style and types
	@$(testing)
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/python -m mypy

bench: ## run the benchmarks, or one of them (BENCH=gallery, ARGS= goes to it)
	@$(testing)
	@for name in $(BENCH); do .venv-test/bin/python -m tests.benchmarks.$$name $(ARGS); done

lock: ## renew docker/*.lock, the exact versions that the images and the environments hold
	@mkdir -p build
	@.ci/lock cpu >build/cpu.lock
	@.ci/lock cpu,scale >build/scale.lock
	@.ci/lock gpu >build/gpu.lock
	@mv build/cpu.lock build/scale.lock build/gpu.lock docker/

clean: ## remove the environments and caches; ./data and ./runs stay
	rm -rf .venv .venv-test build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
