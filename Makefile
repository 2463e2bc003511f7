# make demo   installs into .venv and scores the sample images
# make test   the whole test suite, linters and type checks
# make browser  Chromium, in which the tests look at reports; installed where apt-get and root are
# make line   an MQTT broker, an RTSP server and a camera, which the tests of a line talk to; likewise
# make docs   the site of the documentation, in build/site, with every link checked
# make quick  the part of the tests that takes less than a minute

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# tested versions; `make CONSTRAINTS= …` takes the newest that pyproject.toml admits
CONSTRAINTS ?= constraints.txt
LINE_PACKAGES := mosquitto python3-gi gir1.2-gst-rtsp-server-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good libaravis-0.8-0 aravis-tools
PIP_INSTALL := $(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

# tests start Python some hundred times: compiling everything each time would take most of it
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test browser line quick docs samples clean

demo: $(VENV)/installed
	$(BIN)/vlmad run examples/samples/*/test --detector winclip

test: $(VENV)/installed-dev browser line
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

# likewise; the RTSP server runs in the system's Python
line:
	@if { command -v mosquitto || test -x /usr/sbin/mosquitto; } >/dev/null \
		&& /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' \
			2>/dev/null \
		&& command -v arv-fake-gv-camera-0.8 >/dev/null; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing $(LINE_PACKAGES), which the tests of a line talk to"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq --yes --no-install-recommends $(LINE_PACKAGES) >/dev/null \
			|| echo "they could not be installed"; \
	else \
		echo "no MQTT broker, RTSP server or camera: install them for the tests of a line" \
			"(Debian: sudo apt-get install $(LINE_PACKAGES))"; \
	fi

quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup -m "not slow"

docs: $(VENV)/installed-dev
	$(PIP_INSTALL) --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "build/site/index.html"

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
