# The original Caffe 1.0 (Debian's build, with Python layers), CPU only, and the original RankIQA repository.
# docker/build.py creates the build context: caffe_ref/ and upstream/ (verified files of the original, or none).
FROM debian:bullseye-slim

# MIRROR: another Debian mirror; empty: the base image's, or the archive after bullseye has left it.
ARG MIRROR=
COPY docker/apt_sources /usr/local/sbin/
RUN apt_sources bullseye main deb "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      caffe python3-caffe python3-opencv python3-scipy python3-lib2to3 libopenblas0-pthread \
 && rm -rf /var/lib/apt/lists/*

# Use the same GEMM kernel on every machine, so that results are comparable: OpenBLAS 0.3.13 chooses wrong kernels on some
# newer processors. The variable only affects x86-64; `docker run -e` sets another core type.
ENV OPENBLAS_CORETYPE=Haswell \
    PYTHONPATH=/opt:/opt/caffe_ref/python2/site:/opt/RankIQA \
    PYTHONDONTWRITEBYTECODE=1 \
    GLOG_logtostderr=1 \
    MPLCONFIGDIR=/tmp

# Paths in the original's files: its author's Caffe and checkout.
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
