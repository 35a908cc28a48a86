# Every target sets up what it needs on a machine that has only Python 3.10 to 3.13 and make.
# Paths stay relative, so the checkout may be in a folder with spaces.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# PYTHON=/path/to/python3.12 chooses the interpreter; DATA= is where the public sources were cloned.
export PYTHON
DATA ?= ../shared/cxr
EXTRAS := train,sweep,export,bedside,notebooks,dev,docs
SOURCES := $(shell find lungsev train export runtime configs -type f ! -name '*.pyc' 2>/dev/null)

venv_of = python=$$(sh .ci/find_python.sh) && { $(1)/bin/python -c "" 2>/dev/null || "$$python" -m venv --clear $(1); }
bin := .venv/bin
# Two processes of one thread each: threads of two torches on two cores take turns, and double the time.
tests := OMP_NUM_THREADS=1 $(bin)/python -m pytest -n 2 --dist loadfile

.PHONY: help demo test test-slow test-gpu test-faults test-fuzz fuzz test-soak check format model check-aarch64 test-lowest test-matrix lock wheel wheelhouse sbom release licences audit validate-dicom look-at-dashboard architecture docs notebook notebooks mutants clean

help: ## Say what each target does
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

demo: .venv-demo/installed ## Install the runtime alone (no torch) and score demo images as they arrive in a folder
	.venv-demo/bin/lungsev-run demo

test: .venv/installed ## Install everything and run the tests, on two cores
	$(tests)

test-slow: .venv/installed ## Tests that take longer than a few seconds each
	@.ci/tensorrt_bindings.sh $(bin)/python lean || echo "TensorRT's lean runtime cannot be had here; its test is skipped"
	@.ci/triton_server.sh $(bin)/python || echo "A Triton server cannot be had here; its tests are skipped"
	@$(bin)/python -c "import ray" 2>/dev/null || .ci/install.sh $(bin)/python -e ".[cluster]" || echo "Ray cannot be had here; its test is skipped"
	@.ci/pycuda.sh $(bin)/python || echo "pycuda cannot be compiled here; its test is skipped"
	$(bin)/python -m pytest -m "slow and not gpu" --timeout 1800

test-gpu: .venv/installed ## Tests that need an NVIDIA device
	$(bin)/python -m pytest -m gpu --timeout 600

test-faults: .venv/installed ## Kill, fill and break things on purpose
	$(bin)/python -m pytest -m faults --timeout 600

test-fuzz: .venv/installed ## Read thousands of mutated images (LUNGSEV_FUZZ=20000); each is read or refused with a reason
	LUNGSEV_FUZZ=$${LUNGSEV_FUZZ:-20000} $(bin)/python -m pytest -s -m faults tests/runtime/test_fuzz.py

# atheris has wheels for x86-64 alone: elsewhere pip builds it, which needs clang.
fuzz: .venv/installed ## Fuzz every parser and port by coverage for MINUTES=30; what fails is kept in tests/fuzz/crashes
	@$(bin)/python -c "import atheris" 2>/dev/null || .ci/install.sh $(bin)/python -e ".[fuzz]"
	$(bin)/python tests/fuzz/run.py --minutes $(or $(MINUTES),30)

test-soak: .venv/installed ## Many images for minutes; memory and files must stay flat; prints rate and latency
	$(bin)/python -m pytest -s -m soak --timeout 3600

mutants: .venv/installed ## Change one thing at a time in chosen modules; their tests must notice 85 % (MODULES="file ...", COUNT=40)
	$(bin)/python .ci/mutants.py $(MODULES) $(if $(COUNT),--count $(COUNT))

check: .venv/installed ## Format, lint, types and tests: what a commit must pass
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	.ci/types $(bin)/python
	$(tests)

# The network is compared with its graphs on the scored images, where DATA has them, and on phantoms.
model: .venv/installed ## Train and export a model by the recipe; DATA=folder with the public clones
	$(bin)/lungsev-train model --data "$(DATA)"
	images=$$(find "$(DATA)" -maxdepth 2 -type d -name public-cohen-subset | head -n 1); \
	$(bin)/lungsev-export "$$(ls -td runs/model/*/self_training runs/model/*/zones runs/model/*/brixia 2>/dev/null | head -n 1)" --fp16 $${images:+--images "$$images"} --out runs/bundle
	$(bin)/lungsev-run verify --bundle runs/bundle --allow-unsigned

format: .venv/installed ## Format and repair what the linter can repair
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

validate-dicom: .venv/installed ## Write every DICOM result and let dciodvfy judge it (installs dicom3tools)
	sh .ci/validate_dicom.sh $(bin)/python

look-at-dashboard: .venv/installed ## Drive the dashboard in headless Chromium, check accessibility, leave screenshots in look/
	sh .ci/look_at_dashboard.sh $(bin)/python look $(if $(PICTURES),--pictures "$(PICTURES)")

check-aarch64: .venv/installed ## Show that every runtime dependency has a wheel for a Jetson (needs the network)
	$(bin)/python .ci/check_aarch64.py --extra bedside

test-lowest: .venv-tools/installed ## Run core and runtime tests with the smallest allowed versions on Python 3.10, without torch
	sh .ci/test_versions.sh .venv-tools/bin/uv lowest 3.10

test-matrix: .venv-tools/installed ## Run core and runtime tests with the newest versions on Python 3.10, 3.12 and 3.13
	for version in 3.10 3.12 3.13; do sh .ci/test_versions.sh .venv-tools/bin/uv newest $$version || exit 1; done

lock: .venv-tools/installed ## Write docs/deploy/*.lock.txt: versions and hashes of a bedside install, and of TensorRT's binding
	sh .ci/lock.sh .venv-tools/bin/uv

wheel: .venv/installed ## Build the wheel and the bundle twice, compare the bytes, leave them in dist/
	sh .ci/reproducible.sh $(CURDIR)/$(bin)/python

wheelhouse: wheel ## Download the locked wheels for offline installs on x86-64 and aarch64, Python 3.10 and 3.12
	$(bin)/python .ci/wheelhouse.py dist/wheelhouse --wheel "$$(ls -t dist/lungsev-*.whl | head -n 1)"

sbom: wheel ## Write dist/lungsev.cdx.json: what a bedside install holds, as CycloneDX
	$(bin)/python .ci/sbom.py dist/lungsev.cdx.json --wheel "$$(ls -t dist/lungsev-*.whl | head -n 1)"

release: sbom ## Gather dist/release: wheel, bundle, lock file, SBOM and SHA256SUMS; KEY=key.pem signs bundle and sums
	sh .ci/release.sh $(bin) dist/release $(if $(KEY),"$(KEY)")

licences: .venv/installed ## Print the licence of every dependency; fails where one is unknown or may not be passed on
	$(bin)/python .ci/licences.py

audit: .venv-tools/installed ## Look for known vulnerabilities in the locked versions (needs the network)
	@.venv-tools/bin/python .ci/audit.py .venv-tools/bin/pip-audit

architecture: .venv/installed ## Write the module index of ARCHITECTURE.md from the modules' first lines
	$(bin)/python .ci/architecture.py

docs: .venv-docs/installed ## Build the documentation site into site/html; needs no network once installed
	.venv-docs/bin/python .ci/site_pages.py
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet
	@echo "open site/html/index.html"

notebook: .venv-notebook/installed ## Execute the first notebook (no torch, no GPU, no data) into site/notebooks
	.venv-notebook/bin/python .ci/notebooks.py site/notebooks 1

notebooks: .venv/installed ## Execute all notebooks into site/notebooks, as .ipynb and as pages
	$(bin)/python .ci/notebooks.py site/notebooks

clean: ## Remove what make and the tests made; runs/ stays
	rm -rf .venv .venv-demo .venv-docs .venv-notebook .venv-tools .venv-lowest-* .venv-newest-* build dist site demo-out look .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo installs the package as a user gets it: a wheel, without the source tree. A `build/` left by an
# earlier release would put modules into it that no longer exist.
.venv-demo/installed: pyproject.toml .ci/find_python.sh $(SOURCES)
	@$(call venv_of,.venv-demo)
	@echo "Installing the runtime into .venv-demo (no torch)"
	@rm -rf build
	@.ci/install.sh .venv-demo/bin/python .
	@rm -rf build
	@touch $@

# The site is built from the sources, without torch.
.venv-docs/installed: pyproject.toml .ci/find_python.sh
	@$(call venv_of,.venv-docs)
	@echo "Installing the site's generator into .venv-docs"
	@rm -rf build
	@.ci/install.sh .venv-docs/bin/python ".[docs]"
	@rm -rf build
	@touch $@

.venv-notebook/installed: pyproject.toml .ci/find_python.sh
	@$(call venv_of,.venv-notebook)
	@echo "Installing the runtime and Jupyter's kernel into .venv-notebook (no torch)"
	@rm -rf build
	@.ci/install.sh .venv-notebook/bin/python -e ".[notebooks]"
	@touch $@

.venv-tools/installed: .ci/find_python.sh
	@$(call venv_of,.venv-tools)
	@.ci/install.sh .venv-tools/bin/python "uv>=0.5" "pip-audit>=2.7"
	@touch $@

.venv/installed: pyproject.toml .ci/find_python.sh
	@$(call venv_of,.venv)
	@echo "Installing torch and the rest into .venv: several gigabytes, minutes the first time"
	@.ci/install.sh $(bin)/python -e ".[$(EXTRAS)]"
	@.ci/install.sh $(bin)/python -e ".[rtx]" || echo "TensorRT-RTX has no wheel here; its tests are skipped"
	@.ci/tensorrt_bindings.sh $(bin)/python || echo "TensorRT's bindings cannot be had here; their tests are skipped"
	@touch $@
