# The port on the CPU: the command rankiqa, on Debian's PyTorch or on wheels from an index (build.py --port).
# docker/build.py makes the build context: the packages' sources and wheels/, what Debian lacks or has too old.
FROM debian:trixie-slim AS build

# MIRROR: another Debian mirror; empty: the base image's, or the archive once trixie has left it.
ARG MIRROR=
# TORCH: debian, or wheel when the context has one.
ARG TORCH=debian
LABEL rankiqa.stage=build

COPY docker/apt_sources /usr/local/sbin/
# OpenBLAS: Debian's PyTorch takes any BLAS, and the one that it depends on is many times slower
RUN apt_sources trixie main deb "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 python3-numpy python3-scipy libopenblas0-pthread python3-pip python3-setuptools \
      $([ "$TORCH" = wheel ] || echo python3-torch)

COPY . /source
# --no-deps: the wheels are complete, and Debian's PyTorch asks for a version of sympy that is not Debian's;
# --ignore-installed: newer ones come before Debian's, which pip cannot remove
RUN python3 -m pip install --no-cache-dir --no-index --no-deps --no-build-isolation --ignore-installed \
      --break-system-packages --root-user-action ignore /source/wheels/*.whl /source

# What the packages bring along and the CPU path never loads: compilers for AMD's GPUs (by way of OpenMPI's transports),
# PyTorch's own tests, a graph library for torch.compile, packages that install others, pages and translations
RUN for package in libllvm17t64 libamd-comgr2 libamdhip64-5 libhsa-runtime64-1 libtorch-test python3-networkx \
      python3-hypothesis python3-expecttest python3-pip python3-setuptools; do \
      if dpkg-query -W "$package" > /dev/null 2>&1; then dpkg --force-depends --purge "$package"; fi || exit 1; \
    done \
 && rm -rf /var/lib/apt/lists /var/cache/apt /var/cache/debconf /usr/share/doc /usr/share/man /usr/share/info \
      /usr/share/locale /usr/share/lintian /usr/lib/x86_64-linux-gnu/ucx/libuc*_rocm* /usr/include /var/log/* \
 && find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} + \
 && ldconfig

# The image is right or it is not made: conversion, scores, a ranked set and a training, as an unknown user
RUN cd /tmp && HOME=/tmp setpriv --reuid 12345 --regid 12345 --clear-groups python3 /source/docker/check_port.py \
 && rm -rf /source /tmp/* \
 && install -d -m 1777 /work

FROM scratch
COPY --from=build / /
COPY docker/port_entry /usr/local/bin/
# HOME: any user may run it, also one without an entry in /etc/passwd
ENV HOME=/tmp LANG=C.UTF-8
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["port_entry"]
CMD ["--help"]
