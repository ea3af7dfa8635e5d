# `make run` and `make test` do all their own set-up; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKSPACE ?= workspace
PORT ?= 8501
# processes that share the tests
PROCESSES ?= 2
APP := $(VENV)/.requirements-installed
DEV := $(VENV)/.requirements-dev-installed

.DEFAULT_GOAL := help
.PHONY: help run demo test test-fast test-browser lint format bench crash soak docs screenshots pictures demo-model clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: demo ## install what is missing, prepare the demo, serve the app on 127.0.0.1:8501
	MIDBAND_WORKSPACE=$(WORKSPACE) $(BIN)/streamlit run app.py --server.address 127.0.0.1 --server.port $(PORT)

demo: $(APP) ## prepare the demo workspace
	$(BIN)/python -m core demo --workspace $(WORKSPACE)

test: $(DEV) ## install what tests need (a browser included) and run all of them
	sh scripts/ensure-browser.sh $(BIN)/python
	$(BIN)/python -m pytest -m "not browser" -n $(PROCESSES)
	$(BIN)/python -m pytest -m browser -n $(PROCESSES) --dist loadfile

test-fast: $(DEV) ## the tests that need no browser
	$(BIN)/python -m pytest -m "not browser" -n $(PROCESSES)

test-browser: $(DEV) ## the tests that drive a browser
	sh scripts/ensure-browser.sh $(BIN)/python
	$(BIN)/python -m pytest -m browser -n $(PROCESSES) --dist loadfile

lint: $(DEV) ## ruff on everything, mypy on core/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## let ruff put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV) ## every benchmark, one after another
	set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python -m benchmarks.$$(basename $$file .py); done

crash: $(DEV) ## kill tagging, analysing, retraining and exporting at 300 points, and look whether anything is lost
	$(BIN)/python -m scripts.crash --points 300

soak: $(DEV) ## twenty browsers on one server for twenty minutes: lost tags, errors, memory
	sh scripts/ensure-browser.sh $(BIN)/python
	$(BIN)/python -m scripts.soak

docs: $(APP) ## write docs/command-line.md from the commands
	$(BIN)/python scripts/command_line.py

screenshots: $(DEV) demo ## take the pictures and the animation in docs/images again
	sh scripts/ensure-browser.sh $(BIN)/python
	$(BIN)/python scripts/screenshots.py
	$(BIN)/python scripts/screenshots.py --animation

pictures: $(DEV) demo ## every page and state in every size, light and dark, into ./pictures to look at
	sh scripts/ensure-browser.sh $(BIN)/python
	$(BIN)/python scripts/screenshots.py --all pictures

demo-model: $(APP) ## train the demos' classifiers again and put them in assets/
	$(BIN)/python scripts/train_demo_model.py

clean: ## remove the virtual environment and the caches; workspaces stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/pip:
	sh scripts/make-venv.sh $(PYTHON) $(VENV)

$(APP): requirements.txt | $(BIN)/pip
	@echo "Installing what Midband needs: about two minutes, 2.2 GB ..."
	$(BIN)/pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt requirements-text.txt requirements-timm.txt requirements-oidc.txt $(APP)
	@echo "Installing what its tests need ..."
	$(BIN)/pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@
