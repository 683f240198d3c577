# The original Caffe 1.0 (Debian's own build, Python layers on), CPU only, and the original RankIQA repository.
# docker/build.py makes the build context: caffe_ref/ and upstream/ (verified files of the original, or none).
FROM debian:bullseye-slim

# MIRROR: another Debian mirror; empty: the base image's, or the archive once bullseye has left it.
ARG MIRROR=
COPY docker/apt_sources /usr/local/sbin/
RUN apt_sources bullseye main deb "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      caffe python3-caffe python3-opencv python3-scipy python3-lib2to3 libopenblas0-pthread \
 && rm -rf /var/lib/apt/lists/*

# One GEMM kernel on every machine: OpenBLAS 0.3.13 picks wrong ones on some newer processors, and results stay comparable.
# Only read on x86-64; set it to another core type with `docker run -e`.
ENV OPENBLAS_CORETYPE=Haswell \
    PYTHONPATH=/opt:/opt/caffe_ref/python2/site:/opt/RankIQA \
    PYTHONDONTWRITEBYTECODE=1 \
    GLOG_logtostderr=1 \
    MPLCONFIGDIR=/tmp

# Paths that the original's files name: its author's Caffe and checkout.
RUN useradd --create-home --uid 1000 rankiqa \
 && install -d -o rankiqa -g rankiqa /work \
 && install -d /home/xialei/caffe/distribute/bin /home/xialei/Project/CleanProject \
 && ln -s /opt/caffe_ref/bin/caffe.bin /home/xialei/caffe/distribute/bin/caffe.bin \
 && ln -s /opt/RankIQA /home/xialei/Project/CleanProject/Camera-ready-code \
 && ln -s /opt/caffe_ref/bin/python /opt/caffe_ref/bin/caffe_ref_help /opt/caffe_ref/bin/upstream_data /usr/local/bin/
COPY upstream /opt/RankIQA
COPY upstream/data /opt/upstream_data
COPY caffe_ref /opt/caffe_ref
USER rankiqa
WORKDIR /opt/RankIQA
ENTRYPOINT ["/opt/caffe_ref/bin/entry"]
CMD ["caffe_ref_help"]
