# The two commands that matter: `make demo` and `make test`. Each sets up what it needs first.
# A step that is done leaves a stamp in .venv, so that it is done again only when its list changes.

HOST ?=
PORT ?= 7860
MCP ?=
CLASS ?=
export HOST PORT MCP CLASS
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled once, Python's files are not compiled again by each of the many processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
CHECKED := app.py pipelines components training benchmarks
# A file's tests share what they have loaded; in the order that tests/conftest.py gives them.
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo cluster test test-fast check format bench load fuzz evaluate train export space clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: $(DONE)/app $(DONE)/audiocraft $(DONE)/dev ## install everything but a browser

demo: $(DONE)/app $(DONE)/audiocraft ## start the app (HOST, PORT; CLASS=1 lets phones in; MCP=1 offers it to MCP clients)
	$(BIN)/python app.py

cluster: $(DONE)/ray ## start the app with its models in replicas of Ray Serve on this machine
	STEUERVEKTOR_ENGINE=ray $(BIN)/python app.py

test: setup $(DONE)/chromium ## run every test, those in a browser included
	$(BIN)/python -m pytest $(SPREAD)

test-fast: setup ## run the tests that are quick and need no browser
	$(BIN)/python -m pytest $(SPREAD) --ignore tests/e2e -m "not slow"

check: $(DONE)/app $(DONE)/dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)

format: $(DONE)/dev ## put all code into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DONE)/app ## speed, as ratios within one run; ends with one JSON object a line
	$(BIN)/python -m benchmarks

load: $(DONE)/app ## the app under many hands, a mixed hour included; ends with one JSON object a line
	$(BIN)/python -m benchmarks.load

fuzz: $(DONE)/dev ## ten thousand payloads that no program should send; ends with one JSON object a line
	$(BIN)/python -m benchmarks.fuzz

evaluate: $(DONE)/app ## what the classroom models can do; writes docs/evaluation.md and assets/evaluation
	$(BIN)/python -m training.evaluate

train: $(DONE)/app ## train all classroom models in order; each goes on from its checkpoint
	$(BIN)/python -m training.train_clip
	$(BIN)/python -m training.train_autoencoder
	$(BIN)/python -m training.train_unet
	$(BIN)/python -m training.train_motion
	$(BIN)/python -m training.train_scorers
	$(BIN)/python -m training.train_motion_scorer
	$(BIN)/python -m training.train_dino
	$(BIN)/python -m training.train_codec
	$(BIN)/python -m training.train_music
	$(BIN)/python -m training.train_sound_scorers
	$(BIN)/python -m training.evaluate

export: $(DONE)/app ## write the classroom picture model as a complete diffusers folder
	$(BIN)/python -m training.export

space: $(DONE)/venv ## build the folder of a Hugging Face Space (SPACE=folder, ZEROGPU=1)
	$(BIN)/python tools/build_space.py $(if $(ZEROGPU),--zerogpu) $(SPACE)

clean: ## forget the set-up
	rm -rf $(VENV)

$(DONE)/venv:
	@python=$$(sh tools/find_python.sh) && $$python -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip==26.3
	@mkdir -p $(DONE) && touch $@

$(DONE)/app: requirements.txt | $(DONE)/venv
	$(BIN)/python -m pip install -r requirements.txt
	@touch $@

$(DONE)/audiocraft: requirements-audiocraft.txt | $(DONE)/app
	$(BIN)/python -m pip install --no-deps -r requirements-audiocraft.txt
	@touch $@

$(DONE)/ray: requirements-ray.txt | $(DONE)/app
	$(BIN)/python -m pip install -r requirements-ray.txt
	@touch $@

$(DONE)/dev: requirements-dev.txt requirements.txt | $(DONE)/app
	$(BIN)/python -m pip install -r requirements-dev.txt
	@touch $@

$(DONE)/chromium: | $(DONE)/dev
	sh tools/install_chromium.sh $(BIN)/python
	@touch $@
