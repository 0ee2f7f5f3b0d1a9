# make book   the site, in _build/html          make notebooks   execute the notebooks in place
# make test   every check                       make serve       the site on localhost
# make pdf    the book as one document          make colab       the notebooks that Colab opens
# make setup  the virtual environment           make clean       remove what make made
# make bench  times and memory, ARGS="--help" for options
# Each works from an empty clone with Python and make alone.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PORT ?= 8000
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout 120 \
	--nbval-sanitize-with tests/nbval_sanitize.cfg

.PHONY: book test lint unit nbval pages look pdf colab notebooks bench serve setup clean

book: $(READY)
	$(BIN)/jupyter-book build -W --keep-going -n .
	@touch _build/html/.nojekyll
	@echo
	@echo "Open $(CURDIR)/_build/html/index.html"

# Neither lint nor the site uses two processors, so they go side by side.
test: $(READY)
	$(MAKE) -j2 lint book
	$(MAKE) unit nbval look

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python book/_tools/notebooks.py check

# Tests marked `alone` measure time and get the machine to themselves; those marked
# `pages` look at the built site.
unit: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal \
		-m "not alone and not pages" tests
	$(BIN)/python -m pytest -q -m alone tests

nbval: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(NBVAL) book

pages: book
	$(MAKE) look

# In the order of their names, the files that take long come first.
look: $(READY)
	$(BIN)/python -m pytest -q -rs -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		-m pages tests/book

pdf: $(READY)
	$(BIN)/python book/_tools/pdf.py

colab: $(READY)
	$(BIN)/python book/_tools/notebooks.py colab

notebooks: $(READY)
	$(BIN)/python book/_tools/notebooks.py run -j $(JOBS)
	$(BIN)/python book/_tools/notebooks.py check

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

serve: book
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -r requirements.txt
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf _build build *.egg-info $(VENV) .pytest_cache .mypy_cache .ruff_cache
