# Each target does all set-up itself; python3 (>= 3.11), git, make and a package index are enough.
#
#   make demo     compare the four models on real digits: a table and a page of pictures
#   make test     lint, types and every test
#   make lint     ruff and mypy alone
#   make proofs   the published figures, measured anew on the shipped weights (minutes)
#   make clean    remove the environment, builds and caches; runs/ stays

PYTHON ?= python3
VENV   ?= .venv
DEMO   ?= runs/demo
BIN    := $(VENV)/bin

# Each writes benchmarks/NAME.csv. golden_*.py are apart: they need checkouts of the references.
PROOFS := gaussian sampler_order sampler_peers sampler_overhead conversion conversion_diffusers \
          intervals digits_autoencoder digits_quality digits_guidance digits_likelihood \
          frechet feature_statistics extractor_speed peers metric_speed averages command_lines speed \
          requeue scale processes not_finite kills latent_cache

# One thread for each of several test processes: torch's own threads would fight over the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n logical --maxprocesses 8

.PHONY: demo test lint proofs clean
.DELETE_ON_ERROR:

# A quick look: the full table, of 1,080 images a model, is `zoo compare experiment=digits`.
demo: $(VENV)/.installed
	$(BIN)/zoo compare experiment=digits num_images=500 fid_counts=[360,500] run_dir=$(DEMO)
	@echo
	@echo "the table:   $(DEMO)/results.md   ($(DEMO)/results.csv)"
	@echo "the report:  $(DEMO)/report.html   (open it in a browser)"

# Both run, whatever the first says; pytest's closing line comes last.
test: $(VENV)/.installed-test
	@status=0; \
	$(MAKE) --no-print-directory lint || status=$$?; \
	$(PYTEST) || status=$$?; \
	exit $$status

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

proofs: $(VENV)/.installed-test
	for script in $(PROOFS); do \
	    echo "== benchmarks/$$script.py" && $(BIN)/python benchmarks/$$script.py || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find zoo eval tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make an installation happen again when what is asked for has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	PYTHON="$(PYTHON)" .ci/install $(VENV) .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	PYTHON="$(PYTHON)" .ci/install $(VENV) ".[test,dev]"
	@touch $(VENV)/.installed $@
