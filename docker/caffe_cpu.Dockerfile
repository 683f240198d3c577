# The original Caffe 1.0 (Debian's own build, Python layers on), CPU only.
FROM debian:bullseye-slim

# Another Debian mirror, for the day when bullseye has moved to the archive; empty: what the base image uses.
ARG MIRROR=
RUN if [ -n "$MIRROR" ]; then echo "deb $MIRROR bullseye main" > /etc/apt/sources.list; fi \
 && apt-get -o Acquire::Check-Valid-Until=false update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      caffe python3-caffe python3-opencv python3-scipy libopenblas0-pthread \
 && rm -rf /var/lib/apt/lists/*

# One GEMM kernel on every machine: OpenBLAS 0.3.13 picks wrong ones on some newer processors, and results stay comparable.
# Only read on x86-64; set it to another core type with `docker run -e`.
ENV OPENBLAS_CORETYPE=Haswell \
    PYTHONPATH=/opt \
    PYTHONDONTWRITEBYTECODE=1 \
    GLOG_logtostderr=1

RUN useradd --create-home --uid 1000 rankiqa \
 && install -d -o rankiqa -g rankiqa /work \
 && ln -s /opt/caffe_ref/caffe_ref_help /usr/local/bin/caffe_ref_help
COPY caffe_ref /opt/caffe_ref
USER rankiqa
WORKDIR /work
CMD ["caffe_ref_help"]
