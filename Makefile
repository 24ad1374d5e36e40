# ctoffload-dpdk. Two commands matter: make demo, make test. Each installs what is missing, builds what changed, then runs.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
JOBS ?= $(shell nproc)
# Processes that run tests, whole files each. More gain little: many tests start several of their own.
TEST_JOBS ?= $(shell n=$$(nproc); echo $$((n < 2 ? n : 2)))
BIN := .venv/bin
STAMPS := .stamps
DEVCONTAINER := build/devcontainer/node_modules/.bin/devcontainer
SOURCES := $(shell find pyx ctoffload_dpdk/include -type f) setup.py pyproject.toml $(wildcard build_support/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-dpdk bench sanitize build packages lint format clean docs lab FORCE

help:                   ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: build             ## the main job on the emulated NIC: no NIC, no hugepages, no configuration
	@$(BIN)/ctoffload demo

SHARED_OUT = -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder
test: build             ## every test that ends within minutes
	@$(BIN)/python -m build_support.standin >/dev/null || echo "test: the tests of the mlx5 driver will skip and say why"
	@$(BIN)/python -m build_support.ovs_tools >/dev/null || echo "test: the tests with an OVSDB will skip and say why"
	@$(BIN)/python -m build_support.prometheus_tools >/dev/null || echo "test: the tests with Prometheus will skip and say why"
	@echo "test: running the tests"
	@$(BIN)/pytest $(SHARED_OUT)

# One after the other: tests of images, packages and sanitizers build whole trees.
test-all: TEST_JOBS = 0
test-all: export CTOFFLOAD_EXPLORE = 1
test-all: export CTOFFLOAD_SOAK_S = 600
test-all: export CTOFFLOAD_ALL = 1
test-all: $(STAMPS)/images $(DEVCONTAINER) $(STAMPS)/lab $(STAMPS)/vm test test-dpdk sanitize bench  ## test with what takes minutes and fresh random examples, test-dpdk, sanitize, bench

bench: build            ## every speed bar: bar, figure, control, pass or fail
	@$(BIN)/python -m bench

build: $(STAMPS)/build  ## build what changed

packages: $(STAMPS)/packages  ## install the Debian packages that are missing

$(STAMPS)/packages: debian-packages.txt build_support/packages.sh
	@build_support/packages.sh
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages-all: debian-packages-all.txt $(STAMPS)/packages
	@build_support/packages.sh debian-packages-all.txt || echo "test-all: the tests of images and of ssh will skip and say why"
	@touch $@

$(STAMPS)/images: requirements/images.lock $(STAMPS)/packages-all $(STAMPS)/venv
	@echo "test-all: installing the locked Python packages for images into .venv"
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements/images.lock
	@touch $@

# The Dev Container CLI. It is made of JavaScript; where npm is not, one test skips.
$(DEVCONTAINER): requirements/devcontainer/package-lock.json
	@mkdir -p build/devcontainer && cp requirements/devcontainer/*.json build/devcontainer/
	@npm --prefix build/devcontainer --no-audit --no-fund --silent ci && touch $@ \
	    || echo "test-all: the test of the development container will skip and say why"

$(STAMPS)/venv: requirements/dev.lock $(STAMPS)/packages
	@echo "venv: installing the locked Python packages into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements/dev.lock
	@touch $@

# The driver of the emulated NIC needs four private headers of exactly the installed DPDK. All else builds without them.
# Asked at each make, since both the headers and the installed DPDK may have changed; writes the stamp only on a change.
$(STAMPS)/headers: FORCE | $(STAMPS)/venv
	@$(BIN)/python -m build_support.dpdk_source --stamp $@

# The package is linked into .venv once; its extensions are then rebuilt in place.
$(STAMPS)/linked: pyproject.toml $(STAMPS)/venv
	@CTOFFLOAD_ROOMS=none $(BIN)/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(STAMPS)/build: $(SOURCES) $(STAMPS)/headers $(STAMPS)/linked
	@echo "build: compiling what changed"
	@CTOFFLOAD_JOBS=$(JOBS) $(BIN)/python setup.py --quiet build_ext --inplace --parallel $(JOBS) --build-temp build/temp
	@touch $@

# A build of its own beside the normal one, so that neither invalidates the other.
SANITIZED := build/sanitize
PRELOAD = $(shell gcc -print-file-name=libasan.so):$(shell gcc -print-file-name=libubsan.so)
sanitize: build         ## the tests on a build with ASan and UBSan
	@echo "sanitize: building with ASan and UBSan into $(SANITIZED)"
	@CTOFFLOAD_SANITIZE=1 CTOFFLOAD_JOBS=$(JOBS) CTOFFLOAD_CYTHON_DIR=$(SANITIZED)/cython $(BIN)/python setup.py --quiet build \
	    --build-base $(SANITIZED) --build-lib $(SANITIZED)/lib --parallel $(JOBS)
	@PYTHONPATH=$(CURDIR)/$(SANITIZED)/lib LD_PRELOAD=$(PRELOAD) PYTHONMALLOC=malloc CTOFFLOAD_SANITIZED=1 \
	    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    CTOFFLOAD_ALL=0 $(BIN)/pytest $(SHARED_OUT) --ignore=tests/house --ignore=tests/packages --ignore=tests/docs --ignore=tests/images

test-dpdk: build        ## the tests on other releases of DPDK: DPDK_PREFIX=/opt/dpdk-25.11 DPDK_PREFIX_SOURCE=/usr/src/dpdk-25.11
	@CTOFFLOAD_JOBS=$(JOBS) CTOFFLOAD_ALL=0 $(BIN)/python -m build_support.other_dpdk $(SHARED_OUT) tests

lab: build $(STAMPS)/lab  ## what labs with many hosts need besides: labgrid

$(STAMPS)/lab: requirements/lab.lock $(STAMPS)/venv
	@echo "lab: installing the locked Python packages for labs into .venv"
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements/lab.lock
	@touch $@

# A kernel with tc flower, for the tests with TAP devices where this machine's has none.
$(STAMPS)/vm: build_support/flower_vm.py $(STAMPS)/venv
	@echo "test-all: fetching a virtual machine into build/vm"
	@$(BIN)/python -m build_support.flower_vm >/dev/null || echo "test-all: the tests with TAP devices will skip and say why"
	@touch $@

# The site: pages, command line and docstrings. A warning is an error.
$(STAMPS)/docs: requirements/docs.lock $(STAMPS)/venv
	@echo "docs: installing the locked Python packages for the site into .venv"
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements/docs.lock
	@touch $@

docs: build $(STAMPS)/docs  ## the documentation as a site: build/site/index.html
	@$(BIN)/python -m build_support.doc_tables
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/site
	@echo "docs: build/site/index.html"

lint: build             ## ruff, mypy and clang-format, as the tests run them
	@$(BIN)/pytest tests/house

format: $(STAMPS)/venv  ## bring Python and C into form
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format . && $(BIN)/clang-format -i $$(git ls-files '*.c' '*.h')

clean:                  ## remove what was built, keep .venv
	@rm -rf build $(STAMPS)/build dist && find ctoffload_dpdk -name '*.so' -delete
