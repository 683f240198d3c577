# The port on the CPU: the command rankiqa, with Debian's PyTorch or one from a package index (build.py --port).
# docker/build.py creates the build context: the packages' sources, and wheels/ for packages that Debian does not have or
# that are too old there.
FROM debian:trixie-slim AS build

# MIRROR: another Debian mirror; empty: the base image's, or the archive after trixie has left it.
ARG MIRROR=
# TORCH: debian, or wheel if the context has a wheel of PyTorch.
ARG TORCH=debian
LABEL rankiqa.stage=build

COPY docker/apt_sources /usr/local/sbin/
# OpenBLAS: Debian's PyTorch works with any BLAS, and its default dependency is many times slower
RUN apt_sources trixie main deb "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 python3-numpy python3-scipy libopenblas0-pthread python3-pip python3-setuptools \
      $([ "$TORCH" = wheel ] || echo python3-torch)

COPY . /source
# --no-deps: the wheels are complete, and Debian's PyTorch requires a version of sympy that Debian does not have;
# --ignore-installed: pip cannot remove Debian's packages, and newer ones have priority over them
RUN python3 -m pip install --no-cache-dir --no-index --no-deps --no-build-isolation --ignore-installed \
      --break-system-packages --root-user-action ignore /source/wheels/*.whl /source

# Remove dependencies that the CPU path never loads: compilers for AMD's GPUs (dependencies of OpenMPI's transports),
# PyTorch's own tests, a graph library for torch.compile, installers, documentation and translations
RUN for package in libllvm17t64 libamd-comgr2 libamdhip64-5 libhsa-runtime64-1 libtorch-test python3-networkx \
      python3-hypothesis python3-expecttest python3-pip python3-setuptools; do \
      if dpkg-query -W "$package" > /dev/null 2>&1; then dpkg --force-depends --purge "$package"; fi || exit 1; \
    done \
 && rm -rf /var/lib/apt/lists /var/cache/apt /var/cache/debconf /usr/share/doc /usr/share/man /usr/share/info \
      /usr/share/locale /usr/share/lintian /usr/lib/x86_64-linux-gnu/ucx/libuc*_rocm* /usr/include /var/log/* \
 && find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} + \
 && ldconfig

# The build fails unless conversion, scores, a ranked set and a training work, as an unknown user
RUN cd /tmp && HOME=/tmp setpriv --reuid 12345 --regid 12345 --clear-groups python3 /source/docker/check_port.py \
 && rm -rf /source /tmp/* \
 && install -d -m 1777 /work

FROM scratch
COPY --from=build / /
COPY docker/port_entry /usr/local/bin/
# HOME: any user may run the image, even without an entry in /etc/passwd
ENV HOME=/tmp LANG=C.UTF-8
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["port_entry"]
CMD ["--help"]
