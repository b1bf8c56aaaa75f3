# From a fresh clone to a running demo: `make demo`. Needs Python 3.11, nothing else; all paths are relative, so that
# the folder may have spaces in its name.

.PHONY: help setup demo test check format clean
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
STAMP := .venv/setup-complete
UNFINISHED := .venv/setup-unfinished
IS_3_11 := import sys; sys.exit(sys.version_info[:2] != (3, 11))

# `python -m`, but that ctrl-C ends it without a traceback.
MODULE := -c 'import runpy, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); del sys.argv[0]; \
	runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1  	/p' Makefile

setup: $(STAMP) ## install everything into .venv, and fetch the broker of demo and tests

# What is done in silence is seen to work: a dot for each second of it.
define dotted
while kill -0 $$$$ 2>/dev/null && sleep 1 >/dev/null 2>&1; do printf .; done & dots=$$!; \
	$(1); \
	result=$$?; kill $$dots; echo; exit $$result
endef

# A venv is made again if another Python made it, or if making or filling it was interrupted. uv alone installs in a
# third of pip's time; it is quiet because it ends with a line for each of a hundred packages. TMPDIR: what they leave
# behind when they are interrupted is left in there.
$(STAMP): export TMPDIR := $(CURDIR)/.venv/tmp
$(STAMP): pyproject.toml deploy/constraints.txt
	@if [ -e $(UNFINISHED) ] || ! { $(PYTHON) -c '$(IS_3_11)' && $(PYTHON) -m pip --version; } >/dev/null 2>&1; then \
		for python in python3.11 python3 none; do \
			if "$$python" -c '$(IS_3_11)' 2>/dev/null; then break; fi; \
		done; \
		if [ $$python = none ]; then \
			echo "setup: needs Python 3.11 as python3.11 or python3; python3 is $$(python3 -V 2>&1)" >&2; exit 1; \
		fi; \
		rm -rf .venv && mkdir -p .venv/tmp && touch $(UNFINISHED) && printf "1/4 Python environment in .venv "; \
		$(call dotted,"$$python" $(MODULE) venv .venv); \
	fi
	@mkdir -p .venv/tmp && touch $(UNFINISHED)
	@printf "2/4 packages, torch among them (half a minute on a fast line) "; \
		$(call dotted,$(PYTHON) $(MODULE) pip install --quiet --disable-pip-version-check -c deploy/constraints.txt uv && \
			.venv/bin/uv pip install --quiet --system-certs --python $(PYTHON) -c deploy/constraints.txt -e '.[dev]')
	@rm -rf $(UNFINISHED) .venv/tmp
	@printf "3/4 Kafka, for demo and tests (43 MB, fetched once) "; $(call dotted,$(PYTHON) $(MODULE) stream.kafka.embedded)
	@printf "4/4 machine code of the hot loops "; $(call dotted,$(PYTHON) $(MODULE) stream.warming)
	@touch $@

# Only as `make demo SECONDS=60`: a shell that exports its variables has one of this name too, its own age.
demo: setup ## a broker, simulated shoppers and a worker, with live scores; SECONDS=60 ends it after a minute
	@.venv/bin/behaviour-stream demo $(if $(filter command,$(origin SECONDS)),--seconds "$(SECONDS)")

test: setup ## every test, against a real broker
	@$(PYTHON) -m pytest

check: setup ## lint, format and types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format: setup ## rewrite the code as `check` wants it
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

clean: ## remove caches and build output; .venv and the state in .behaviour-stream stay
	rm -rf build behaviour_stream.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
