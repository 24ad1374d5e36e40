# Everything to build, test and run ctoffload-dpdk on Debian 12, without network once it is built:
#
#   podman build -f docker/development.Dockerfile -t ctoffload-development .
#   podman run --rm -it --userns=keep-id -v "$PWD":/workspace ctoffload-development make demo
#
# BASE: an image of Debian 12; give it with its digest where builds have to be repeatable.
ARG BASE=debian:12.12-slim
FROM ${BASE}

COPY debian-packages.txt /opt/ctoffload/
COPY build_support/packages.sh /opt/ctoffload/build_support/
RUN /opt/ctoffload/build_support/packages.sh \
    && apt-get -qy install --no-install-recommends git libasan8 libubsan1 make sudo \
    && rm -rf /var/lib/apt/lists/*

# The wheels of the lock file, so that `make` finds them here.
COPY requirements /opt/ctoffload/requirements
RUN python3 -m venv /tmp/venv \
    && /tmp/venv/bin/pip --disable-pip-version-check download --quiet --no-cache-dir --require-hashes \
        --requirement /opt/ctoffload/requirements/dev.lock --dest /opt/ctoffload/wheels \
    && rm -rf /tmp/venv

# The source of exactly the DPDK that is installed: the emulated NIC's driver needs four of its headers.
COPY build_support /opt/ctoffload/build_support
RUN apt-get -q update \
    && cd /opt/ctoffload && python3 -m build_support.dpdk_source \
    && mv build/dpdk-source/*/tree /opt/ctoffload/dpdk-source \
    && rm -rf /opt/ctoffload/build /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 --shell /bin/bash developer
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/ctoffload/wheels DPDK_SOURCE=/opt/ctoffload/dpdk-source
USER developer
WORKDIR /workspace
CMD ["make", "demo"]
