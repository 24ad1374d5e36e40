# ctoffload-dpdk on a DPDK release of your choice with mlx5, built from its source archive:
#
#   cp dpdk-24.11.tar.xz docker/
#   podman build -f docker/dpdk.Dockerfile --build-arg ARCHIVE=docker/dpdk-24.11.tar.xz -t ctoffload-dpdk-24.11 .
#   podman run --rm ctoffload-dpdk-24.11 demo
#
# BASE: an image of Debian 12; give it with its digest where builds have to be repeatable.
# ARCHIVE: a source archive of DPDK 22.11 or later, below this directory.
# JOBS: how many compilers at once; DRIVERS: what DPDK is built with.
ARG BASE=debian:12.12-slim
FROM ${BASE} AS build
ARG ARCHIVE
ARG JOBS=2
ARG DRIVERS=bus/auxiliary,bus/pci,bus/vdev,common/mlx5,mempool/ring,net/af_packet,net/mlx5,net/null,net/pcap,net/ring,net/tap

RUN apt-get -q update \
    && apt-get -qy install --no-install-recommends build-essential libibverbs-dev libnuma-dev libpcap-dev meson ninja-build \
        pkg-config python3-dev python3-pyelftools python3-venv xz-utils
COPY ${ARCHIVE} /tmp/dpdk-archive
RUN mkdir /usr/src/dpdk && tar --extract --file /tmp/dpdk-archive --directory /usr/src/dpdk --strip-components 1 \
    && rm /tmp/dpdk-archive
RUN cd /usr/src/dpdk \
    && meson setup --prefix /usr/local --libdir lib --buildtype release -Dplatform=generic -Dtests=false \
        -Denable_apps=test-pmd -Denable_drivers="${DRIVERS}" build \
    && ninja -C build -j "${JOBS}" \
    && meson install -C build --quiet \
    && rm -rf build \
    && ldconfig

COPY requirements /source/requirements
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --require-hashes \
        --requirement /source/requirements/dev.lock \
    && python3 -m venv /opt/ctoffload \
    && /opt/ctoffload/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --require-hashes \
        --requirement /source/requirements/runtime.lock
COPY . /source
RUN cd /source \
    && DPDK_SOURCE=/usr/src/dpdk CTOFFLOAD_JOBS="${JOBS}" /opt/build/bin/pip --disable-pip-version-check --no-cache-dir \
        wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/ctoffload/bin/pip --disable-pip-version-check --no-cache-dir --quiet install --no-deps --no-index \
        /tmp/wheel/*.whl

FROM ${BASE}
RUN apt-get -q update \
    && apt-get -qy install --no-install-recommends ibverbs-providers iproute2 libnuma1 libpcap0.8 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ctoffload
COPY --from=build /usr/local /usr/local
RUN ldconfig
COPY --from=build /opt/ctoffload /opt/ctoffload
ENV PATH=/opt/ctoffload/bin:$PATH
USER ctoffload
WORKDIR /home/ctoffload
ENTRYPOINT ["ctoffload"]
CMD ["demo"]
