# Two commands for a fresh clone: `make train` and `make test`. Both make .venv and install pinned versions into it first.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: train test install clean

install: $(VENV)/installed

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: kfacealign needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0])'
	@echo "Installing pinned versions into $(VENV) (about 3 GB on disk) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

train: install
	$(RUN) recipes/wflw_hih.py --dataset synthetic --preset quick --out runs/quick --resume

test: install
	$(RUN) -m pytest --numprocesses 2 --dist loadfile

clean:
	rm -rf $(VENV) runs data build *.egg-info
