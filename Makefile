# Two targets do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11 or later with pip, and make; what else the tests need, apt installs.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo example screenshots test fuzz verify-all lint types format docs bench lab clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

POLICIES := --with single/- --with mcs:2/round-robin --with mcs:2/least-queue-depth \
            --with mpio:2/round-robin --with mpio:2/least-queue-depth --with mpio:2/service-time
DEMO := reports/demo

demo: $(VENV)/.installed ## analyze two real captures, replay them under MC/S and MPIO, write reports/demo.html
	@echo "== One session over two connections (MC/S), on links of 40 and 10 Mbit/s, recorded against tgt" && set -x \
	  && $(BIN)/analyzer analyze traces/whatif/W6-asym-mcs2-rr.pcapng.zst -o $(DEMO)/mcs/timeline \
	  && $(BIN)/analyzer replay $(DEMO)/mcs/timeline --pacing depth:16 $(POLICIES) -o $(DEMO)/mcs/outcomes
	@echo "== Two sessions under dm-multipath (MPIO) against LIO, one capture per link" && set -x \
	  && $(BIN)/analyzer analyze traces/mpio/mpio-rr.link1.pcap.zst traces/mpio/mpio-rr.link2.pcap.zst -o $(DEMO)/mpio/timeline \
	  && $(BIN)/analyzer replay $(DEMO)/mpio/timeline $(POLICIES) -o $(DEMO)/mpio/outcomes
	@echo "== One page of both" && set -x \
	  && $(BIN)/analyzer report $(DEMO)/mcs/timeline $(DEMO)/mcs/outcomes $(DEMO)/mpio/timeline $(DEMO)/mpio/outcomes -o reports/demo.html

example: demo ## rebuild reports/example/report.html: the demo's MC/S session, and a link that dies under MPIO
	$(BIN)/analyzer analyze traces/mpio/fo-linkdown-st.link1.pcap.zst traces/mpio/fo-linkdown-st.link2.pcap.zst -o $(DEMO)/failover/timeline
	$(BIN)/analyzer replay $(DEMO)/failover/timeline --with mpio:2/round-robin --with mcs:2/round-robin --fault down,link=0,at=50% -o $(DEMO)/failover/outcomes
	$(BIN)/analyzer report $(DEMO)/mcs/timeline $(DEMO)/mcs/outcomes $(DEMO)/failover/timeline $(DEMO)/failover/outcomes -o reports/example/report.html

SCREENSHOTS := reports/screenshots
screenshots: $(VENV)/.installed-test ## pictures of real pages into reports/screenshots, two of them into docs/images (needs Chromium)
	SCREENSHOTS=$(SCREENSHOTS) $(BIN)/python -m pytest -q tests/browser/test_real_pages.py
	cp $(SCREENSHOTS)/report.png $(SCREENSHOTS)/incident.png docs/images/

test: $(VENV)/.installed-test ## install the test tools (tshark, Chromium, tgt), then check and test everything
	@tests/install_tools.sh
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.installed-test ## mutated real captures against the decoder with array bounds checked, FUZZ_SECONDS=600 long
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.fuzz-cache $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

verify-all: $(VENV)/.installed-test ## every capture at hand against Wireshark, PDU by PDU (half an hour)
	@tests/install_tools.sh
	$(BIN)/python -m benchmarks.accuracy.verify_all

lint: $(VENV)/.installed-test ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-test ## let ruff put the source in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed ## write the generated reference pages again
	$(BIN)/python docs/generate.py

bench: $(VENV)/.installed-test ## measure speed against peers on a 1 GB capture (needs tshark, some minutes)
	@tests/install_tools.sh
	$(BIN)/python benchmarks/decode_speed.py
	$(BIN)/python benchmarks/timeline_speed.py
	$(BIN)/python benchmarks/replay_speed.py

lab: $(VENV)/.installed-test ## record the same workload under MC/S and MPIO on links of our own (needs root, half a minute)
	@tests/install_tools.sh
	$(BIN)/python -m benchmarks.lab matrix benchmarks/results/lab --file benchmarks/lab/demonstration.toml

clean: ## remove the environment and everything generated
	rm -rf $(VENV) build dist reports/*.html reports/demo $(SCREENSHOTS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian keeps ensurepip in a package of its own, so pip is brought in from outside where it is missing.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	@echo "Installing with test tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,bench]'
	@touch $@ $(VENV)/.installed
