# `make book` and `make test` do all the set-up that a fresh machine needs. PYTHON is the interpreter to use: as it is
# where it belongs to a virtual or conda environment, else to make .venv with.
PYTHON ?= python3
PROFILE ?= paper

ENV := $(shell $(PYTHON) -c "import os, sys; \
	conda = os.environ.get('CONDA_PREFIX') == sys.prefix and os.environ.get('CONDA_DEFAULT_ENV') != 'base'; \
	print(sys.prefix if sys.prefix != sys.base_prefix or conda else '.venv')")
ifeq ($(ENV),)
$(error No Python called $(PYTHON); name one: make PYTHON=/path/to/python3)
endif
RUN := $(ENV)/bin/python
INSTALLED := $(ENV)/.grokking-tickets-installed

.PHONY: help book lint test quick sync chapter preview records bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

book: $(INSTALLED) ## train what is missing, judge the claims, build the book (PROFILE=smoke for a quick one)
	$(RUN) -m lib train --profile $(PROFILE)
	$(RUN) -m lib judge --profile $(PROFILE)
	$(RUN) -m tools.build --profile $(PROFILE)

lint: $(INSTALLED) ## check code and chapters without running them; before each commit with `pre-commit install`
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m tools.sync --check
	$(RUN) -m tools.lint
	$(RUN) -m codespell_lib
	$(RUN) -m mypy

test: lint ## run all tests, some files at a time
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4  # threads of several processes get in each other's way

quick: $(INSTALLED) ## run the tests that take no second
	$(RUN) -m pytest -m "not slow" --quiet

sync: $(INSTALLED) ## pair every chapter's .md and .py
	$(RUN) -m tools.sync

chapter: $(INSTALLED) ## begin a chapter that builds at once (NAME=weight-norm)
	$(RUN) -m tools.chapter "$(NAME)"

preview: $(INSTALLED) ## show one chapter in the browser, anew at each change (NAME=weight-norm)
	$(RUN) -m tools.preview "$(NAME)" --profile $(PROFILE)

records: $(INSTALLED) ## train all that the book is to have and does not yet, and anew what is out of date
	$(RUN) -m lib train --profile $(PROFILE) --all --renew --workers 2

bench: $(INSTALLED) ## measure training against its peers
	$(RUN) -m pip install --quiet --editable .[bench]
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(RUN) -m benchmarks.run  # with the kernels of this processor

clean: ## delete what was built; records and the environment stay
	rm -rf _build .pytest_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; name one: make PYTHON=python3.11')"
	test -x $(RUN) || $(PYTHON) -m venv $(ENV)
	$(RUN) -m pip install --requirement requirements.lock
	$(RUN) -m pip install --no-deps --editable .
	@touch $@
