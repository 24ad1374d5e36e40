# The program alone, on Debian 12's DPDK, for an unprivileged user:
#
#   podman build -f docker/runtime.Dockerfile -t ctoffload .
#   podman run --rm ctoffload demo
#
# BASE: an image of Debian 12; give it with its digest where builds have to be repeatable.
ARG BASE=debian:12.12-slim
FROM ${BASE} AS build

RUN apt-get -q update \
    && apt-get -qy install --no-install-recommends build-essential libdpdk-dev pkg-config python3-dev python3-venv xz-utils
COPY requirements /source/requirements
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --require-hashes \
        --requirement /source/requirements/dev.lock \
    && python3 -m venv /opt/ctoffload \
    && /opt/ctoffload/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --require-hashes \
        --requirement /source/requirements/runtime.lock
COPY . /source
RUN cd /source \
    && /opt/build/bin/pip --disable-pip-version-check --no-cache-dir wheel --no-deps --no-build-isolation \
        --wheel-dir /tmp/wheel . \
    && /opt/ctoffload/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --no-deps --no-index \
        /tmp/wheel/*.whl

FROM ${BASE}
# DPDK's libraries and the drivers of this list; others are Debian packages librte-net-NAME23 away.
RUN apt-get -q update \
    && apt-get -qy install --no-install-recommends \
        ibverbs-providers \
        iproute2 \
        iputils-ping \
        librte-bus-vdev23 \
        librte-ethdev23 \
        librte-mempool-ring23 \
        librte-net-af-packet23 \
        librte-net-mlx5-23 \
        librte-net-null23 \
        librte-net-pcap23 \
        librte-net-ring23 \
        librte-net-tap23 \
        librte-net-virtio23 \
        python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ctoffload
COPY --from=build /opt/ctoffload /opt/ctoffload
COPY docker/two-namespaces.sh /opt/ctoffload/
ENV PATH=/opt/ctoffload/bin:$PATH
USER ctoffload
WORKDIR /home/ctoffload
ENTRYPOINT ["ctoffload"]
CMD ["demo"]
