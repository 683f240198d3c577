# The original Caffe 1.0 with CUDA, for GPUs of 2016 and later, and the original RankIQA repository.
# bullseye's source package of caffe, built by Debian's rules but with CUDA and without cuDNN. CUDA is bookworm's 11.8: the
# first version with machine code for sm_89 and sm_90, and its compiler works with bullseye's gcc.
# docker/build.py --gpu creates the build context: caffe_ref/ and upstream/ (verified files of the original, or none).
FROM debian:bookworm-slim AS cuda

# MIRROR: another Debian mirror; empty: the base image's, or the archive after the release has left it.
ARG MIRROR=
COPY docker/apt_sources /usr/local/sbin/
# Unpack the packages instead of installing them: they depend on bookworm's C library, but the programs run with
# bullseye's. Skip the static libraries, 2 GB that nothing here links.
WORKDIR /packages
RUN apt_sources bookworm "main contrib non-free" deb "$MIRROR" \
 && apt-get download nvidia-cuda-toolkit nvidia-cuda-dev libcu++-dev libcub-dev libthrust-dev \
      libcudart11.0 libcublas11 libcublaslt11 libcurand10 \
 && mkdir -p /cuda /runtime \
 && for package in *.deb; do \
      dpkg-deb --fsys-tarfile "$package" | tar -x -C /cuda --exclude='*_static*' --exclude=./usr/share || exit 1; done \
 && for package in libcudart11.0 libcublas11 libcublaslt11 libcurand10; do \
      dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C /runtime --exclude=./usr/share/lintian || exit 1; done \
 && rm -- *.deb
LABEL rankiqa.stage=build

FROM debian:bullseye-slim AS build

ARG MIRROR=
COPY docker/apt_sources docker/cuda_architectures /usr/local/sbin/
RUN apt_sources bullseye "main contrib non-free" "deb deb-src" "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential fakeroot \
 && DEBIAN_FRONTEND=noninteractive apt-get build-dep -y --no-install-recommends --arch-only caffe \
 && rm -rf /usr/share/doc
COPY --from=cuda /cuda /

# Debian's rules with CUDA instead of CPU_ONLY. shlibs.local declares CUDA's libraries, which no package of bullseye has;
# they are copied. Machine code for Pascal to Hopper; PTX, which is compiled at first use on newer GPUs.
WORKDIR /build
RUN apt-get source caffe \
 && cd caffe-* \
 && sed -i -e 's/-DCPU_ONLY=ON/-DCPU_ONLY=OFF -DCUDA_ARCH_NAME=Manual -DCUDA_ARCH_BIN="60 61 70 75 80 86 89 90" -DCUDA_ARCH_PTX="90"/' \
           -e 's/ test.testbin all/ all/' debian/rules \
 && printf 'libcudart 11.0\nlibcublas 11\nlibcublasLt 11\nlibcurand 10\n' > debian/shlibs.local \
 && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -B -uc -us \
 && mkdir /out && cp ../caffe_*.deb ../libcaffe1_*.deb ../python3-caffe_*.deb /out

# Check which architectures each library has code for, and list them in the image. (cuBLAS has no code for sm_89, which
# runs that of sm_86.)
RUN dpkg-deb -x /out/libcaffe1_*.deb /tmp/libcaffe \
 && cd /usr/lib/x86_64-linux-gnu \
 && cuda_architectures /tmp/libcaffe/usr/lib/*/libcaffe.so.* libcublas.so.11 libcublasLt.so.11 libcurand.so.10 \
      --need "libcaffe:60.cubin 61.cubin 70.cubin 75.cubin 80.cubin 86.cubin 89.cubin 90.cubin 90.ptx" \
      --need "libcublas:60.cubin 61.cubin 70.cubin 75.cubin 80.cubin 86.cubin 90.cubin 90.ptx" \
      > /out/cuda_architectures.txt \
 ; status=$?; cat /out/cuda_architectures.txt; cp /usr/bin/cuobjdump /out; exit $status
LABEL rankiqa.stage=build

FROM debian:bullseye-slim
COPY --from=build /etc/apt/sources.list /etc/apt/sources.list
COPY --from=cuda /runtime /
COPY --from=build /out /opt/caffe_cuda
RUN apt-get -o Acquire::Check-Valid-Until=false update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /opt/caffe_cuda/*.deb \
      python3-opencv python3-scipy python3-lib2to3 libopenblas0-pthread \
 && rm -rf /var/lib/apt/lists/* /opt/caffe_cuda/*.deb

# As in caffe_cpu.Dockerfile. In addition: all GPUs, no TF32, which Caffe never used, and a cache that is large enough for
# all code that is compiled for a newer GPU (docker/gpu_entry).
ENV OPENBLAS_CORETYPE=Haswell \
    PYTHONPATH=/opt:/opt/caffe_ref/python2/site:/opt/RankIQA \
    PYTHONDONTWRITEBYTECODE=1 \
    GLOG_logtostderr=1 \
    MPLCONFIGDIR=/tmp \
    CUDA_CACHE_MAXSIZE=4294967296 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_TF32_OVERRIDE=0

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
COPY docker/gpu_entry /usr/local/bin/
# Any user can write to a volume that is mounted here
RUN install -d -m 1777 /cuda_cache
USER rankiqa
WORKDIR /opt/RankIQA
ENTRYPOINT ["gpu_entry"]
CMD ["caffe_ref_help"]
