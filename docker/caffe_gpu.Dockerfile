# The original Caffe 1.0 with CUDA, for GPUs of 2016 and later, and the original RankIQA repository.
# bullseye's own source package of caffe, built as Debian builds it but with CUDA (bullseye's 11.2, cuDNN off).
# docker/build.py --gpu makes the build context: caffe_ref/ and upstream/ (verified files of the original, or none).
FROM debian:bullseye-slim AS build

# MIRROR: another Debian mirror; empty: the base image's, or the archive once bullseye has left it.
ARG MIRROR=
COPY docker/apt_sources /usr/local/sbin/
RUN apt_sources bullseye "main contrib non-free" "deb deb-src" "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential fakeroot nvidia-cuda-toolkit \
 && DEBIAN_FRONTEND=noninteractive apt-get build-dep -y --no-install-recommends --arch-only caffe \
 && rm -rf /usr/share/doc

# Debian's rules, CUDA instead of CPU_ONLY. Machine code for Pascal to Ampere, PTX that newer GPUs compile when first run.
WORKDIR /build
RUN apt-get source caffe \
 && cd caffe-* \
 && sed -i -e 's/-DCPU_ONLY=ON/-DCPU_ONLY=OFF -DCUDA_ARCH_NAME=Manual -DCUDA_ARCH_BIN="60 61 70 75 80 86" -DCUDA_ARCH_PTX="86"/' \
           -e 's/ test.testbin all/ all/' debian/rules \
 && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -B -uc -us \
 && mkdir /out && cp ../caffe_*.deb ../libcaffe1_*.deb ../python3-caffe_*.deb /out \
 && dpkg-deb -x /out/libcaffe1_*.deb /tmp/libcaffe \
 && library=$(ls /tmp/libcaffe/usr/lib/*/libcaffe.so.*) \
 && { cuobjdump --list-elf $library; cuobjdump --list-ptx $library; } | grep -o 'sm_[0-9]*\.[a-z]*' | sort | uniq -c \
      > /out/cuda_architectures.txt \
 && for n in 60 61 70 75 80 86; do grep -q "sm_$n.cubin" /out/cuda_architectures.txt || exit 1; done \
 && grep -q "sm_86.ptx" /out/cuda_architectures.txt \
 && cat /out/cuda_architectures.txt

FROM debian:bullseye-slim
COPY --from=build /etc/apt/sources.list /etc/apt/sources.list
COPY --from=build /out /opt/caffe_cuda
RUN apt-get -o Acquire::Check-Valid-Until=false update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /opt/caffe_cuda/*.deb \
      python3-opencv python3-scipy python3-lib2to3 libopenblas0-pthread \
 && rm -rf /var/lib/apt/lists/* /opt/caffe_cuda/*.deb

# As in caffe_cpu.Dockerfile; and the GPU as the driver gives it, without TF32, which Caffe never had.
ENV OPENBLAS_CORETYPE=Haswell \
    PYTHONPATH=/opt:/opt/caffe_ref/python2/site:/opt/RankIQA \
    PYTHONDONTWRITEBYTECODE=1 \
    GLOG_logtostderr=1 \
    MPLCONFIGDIR=/tmp \
    CUDA_CACHE_PATH=/tmp/cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_TF32_OVERRIDE=0

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
