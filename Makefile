# Two commands for a fresh clone: `make train` and `make test`. All but `help` and `clean` make .venv and install pinned versions
# into it first.
#
#   make train     render faces, train a small HIH on them, report, export: minutes on two cores, to runs/quick
#   make test      lint, then every test
#   make matrix    a part of the tests on other Pythons: PYTHONS="python3.12 python3.13"; each gets its own .venv-PYTHON
#   make fuzz      an attack on all that reads files: N=1000 mutations of each target, SEED=0; faults go to fuzz-faults/
#   make crash     kill trainings, alignments, labels and packs at random moments and look at what is left: about half an hour
#   make reproduce the papers' settings on a dataset: DATASET=wflw DIR=...; METHODS="hih pipnet", PLAN=1 for the plan alone
#   make lint      what ruff finds, in code and format
#   make docs      the documentation as a site, to site/; a warning is an error
#   make figures   draw the documentation's figures again
#   make install   only .venv
#   make clean     remove .venv and all that was built, rendered or trained

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: install train lint test matrix fuzz crash reproduce docs figures help clean

install: $(VENV)/installed

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: kfacealign needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0])'
	@echo "Installing pinned versions into $(VENV) (about 3 GB on disk) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

train: install
	$(RUN) recipes/wflw_hih.py --dataset synthetic --scale quick --out runs/quick --resume

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Files come in the order of tests/conftest.py, the longest first; xdist's own order has files of few tests last.
test: lint
	$(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What tells one Python from another: files, the command, codecs, a network, its training step, its exports.
matrix: PYTHONS ?= python3.12 python3.13
matrix:
	@for python in $(PYTHONS); do \
	  echo "$$python:" && venv=.venv-$$(basename $$python) && \
	  $(MAKE) --no-print-directory install PYTHON=$$python VENV=$$venv && \
	  $$venv/bin/python -m pytest tests/codecs tests/cli/test_main.py tests/test_face_landmarks.py tests/models/test_pipnet.py \
	    tests/models/test_complexity.py tests/data/test_faces.py tests/data/test_crops.py tests/data/test_views.py \
	    tests/deploy/exporting || exit 1; \
	done

fuzz: N ?= 1000
fuzz: SEED ?= 0
fuzz: install
	$(RUN) tests/fuzz/attack.py --count $(N) --seed $(SEED)

crash: install
	$(RUN) tests/crash/crash.py --kills 20
	$(RUN) tests/crash/label_kills.py --kills 20
	$(RUN) tests/crash/label_nodes.py

# SCALE=quick tries it out, OUT is another directory for the results, FLAGS="--precision bfloat16" are flags of every recipe.
reproduce: install
	@test -n '$(DATASET)' || { echo 'error: make reproduce needs DATASET=wflw, 300w, cofw, aflw or jd106, and DIR=its directory'; exit 2; }
	$(RUN) benchmarks/reproduce.py --dataset '$(DATASET)' $(if $(DIR),--data-dir '$(DIR)') $(if $(METHODS),--methods $(METHODS)) \
	  $(if $(SCALE),--scale '$(SCALE)') $(if $(OUT),--out '$(OUT)') $(if $(FLAGS),--recipe-flags='$(FLAGS)') $(if $(PLAN),--plan)

docs: install
	$(RUN) -m mkdocs build --strict

figures: install
	$(RUN) docs/figures.py

help:
	@sed -n 's/^#   //p' Makefile

clean:
	rm -rf $(VENV) $(VENV)-* runs data build dist site *.egg-info
