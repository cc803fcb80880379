# Every target sets up what it needs: a virtual environment in .venv, installed under constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Processes that share the tests.
JOBS ?= 2
# No model hub is asked: the demo and the tests run on what the package ships.
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow fuzz check soak matrix lowest format docs bench time-index measure-int8 gpu simulate clean

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/.pip: constraints.txt
	@echo "==> Creating $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1' --constraint constraints.txt
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	@echo "==> Installing the demo (PyTorch and sentence-transformers among it; minutes the first time)"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,plots]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "==> Installing the tests' packages"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,int8,ir,plots,ragas,remote]' --group test --group lint --group docs
	@touch $@

install: $(VENV)/.demo ## Create .venv with the command langchain-rerank in it

demo: $(VENV)/.demo ## Rerank the six guides that ship with the package, offline
	@echo "==> langchain-rerank demo"
	@$(OFFLINE) $(BIN)/langchain-rerank demo

test: $(VENV)/.test ## Run the tests (offline, without the slow ones)
	@echo "==> pytest"
	$(OFFLINE) $(BIN)/python -m pytest -n $(JOBS)

test-slow: $(VENV)/.test ## Run the slow tests too
	$(OFFLINE) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'slow and not gpu'

fuzz: $(VENV)/.test ## 100,000 random cases of every reader, of reranking and of fusion (minutes)
	READER_MUTATIONS=100000 ORACLE_CASES=100000 $(OFFLINE) $(BIN)/python -m pytest -q -o log_cli=true -o log_cli_level=INFO \
		tests/property/test_reader_mutations.py tests/property/test_reranking_oracle.py tests/property/test_fusion_oracle.py

check: $(VENV)/.test ## Lint, format, types, layers and doctests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(OFFLINE) $(BIN)/python -m pytest --doctest-modules langchain_rerank -q

soak: $(VENV)/.test ## Everything at once for ten minutes, then memory over thousands of lengths
	$(OFFLINE) $(BIN)/python tests/long/soak.py --seconds 600
	$(OFFLINE) $(BIN)/python -m pytest -m long

matrix: ## A smoke test beside the versions and extras that users have (minutes; its own folder)
	$(OFFLINE) $(PYTHON) tests/matrix.py

# torch stays that of the constraints: old wheels of it are missing for new Pythons, new ones bring CUDA packages.
lowest: ## Run the engine's and the faces' tests with the oldest versions that are supported (its own folder)
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-lowest/bin/python -m pip install --quiet --editable '.[bm25]' 'torch==2.13.0' \
		'langchain-core==1.2.20' langchain-classic 'sentence-transformers==5.4.0' hypothesis pytest pytest-asyncio pytest-socket pytest-timeout
	$(OFFLINE) .venv-lowest/bin/python -m pytest tests/unit/test_engine_loading.py \
		tests/unit/test_cross_encoder_scorer.py tests/unit/test_reranker.py tests/unit/test_retriever.py \
		tests/integration/test_engine_families.py tests/integration/test_scores_matrix.py \
		tests/integration/test_scores_own_code.py

format: $(VENV)/.test ## Format the code and mend what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.test ## Build the documentation site into site/
	$(OFFLINE) $(BIN)/mkdocs build --strict

$(VENV)/.ray: $(VENV)/.test
	@echo "==> Installing Ray"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[ray]' langchain-cohere
	@touch $@

.PHONY: ray
ray: $(VENV)/.ray ## Install Ray into .venv and run the tests that need it
	$(OFFLINE) RAY_AUTH_MODE=disabled $(BIN)/python -m pytest -m ray

.PHONY: ray-long time-workers
ray-long: $(VENV)/.ray ## 20,000 pairs while actors are killed, and 200 clients for a minute (minutes)
	$(OFFLINE) $(BIN)/python tests/ray/kill_actors.py
	$(OFFLINE) $(BIN)/python tests/ray/many_clients.py

time-workers: $(VENV)/.ray ## Measure one worker of one CPU thread against two (minutes; both cores must be free)
	$(OFFLINE) $(BIN)/python tests/ray/two_workers.py

bench: $(VENV)/.demo ## Measure the engine against its peers on this machine
	$(OFFLINE) $(BIN)/langchain-rerank bench

time-index: $(VENV)/.demo ## Time searches over 3,000 files with and without the kept index (minutes)
	$(BIN)/python tests/measure_kept_index.py

measure-int8: $(VENV)/.test ## What int8 changes over collections: make measure-int8 FOLDERS="folder folder" (half an hour)
	$(OFFLINE) $(BIN)/python tests/measure_int8.py $(FOLDERS)

simulate: $(VENV)/.test ## Simulate what reports conclude from small samples, and write the page of the docs
	$(BIN)/python simulations/small_samples.py --out docs/project/small-samples.md

gpu: ## Check and measure the CUDA path with $(PYTHON); installs nothing, writes gpu.json
	HF_HUB_OFFLINE=1 PYTHONPATH=. $(PYTHON) -m langchain_rerank.bench.gpu --json gpu.json

clean: ## Remove the environment and what tools left behind
	rm -rf $(VENV) .venv-lowest .matrix build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
