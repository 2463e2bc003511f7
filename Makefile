# make demo   installs into .venv and scores the sample images
# make test   the whole test suite, linters and type checks
# make browser  Chromium, in which the tests look at reports; installed where apt-get and root are
# make quick  the part of the tests that takes less than a minute

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# tested versions; `make CONSTRAINTS= …` takes the newest that pyproject.toml admits
CONSTRAINTS ?= constraints.txt
PIP_INSTALL := $(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

# tests start Python some hundred times: compiling everything each time would take most of it
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test browser quick samples clean

demo: $(VENV)/installed
	$(BIN)/vlmad run examples/samples/*/test --detector winclip

test: $(VENV)/installed-dev browser
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup

# without it, tests are skipped and say so; with CI=true they fail
browser:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing Chromium, in which the tests look at reports"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq --yes --no-install-recommends chromium >/dev/null \
			|| echo "Chromium could not be installed"; \
	else \
		echo "no Chromium: install it for the tests that look at reports" \
			"(Debian: sudo apt-get install chromium)"; \
	fi

quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup -m "not slow"

samples: $(VENV)/installed
	$(BIN)/python examples/draw_samples.py

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing vlmad and what it needs into $(VENV) (some minutes the first time)"
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
