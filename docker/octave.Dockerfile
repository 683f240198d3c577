# GNU Octave with the image package, for the original's MATLAB files, which are mounted at run time.
FROM debian:bookworm-slim

# MIRROR: another Debian mirror; empty: the base image's, or the archive after bookworm has left it.
ARG MIRROR=
COPY docker/apt_sources /usr/local/sbin/
RUN apt_sources bookworm main deb "$MIRROR" \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends octave octave-image \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 rankiqa && install -d -o rankiqa -g rankiqa /work
USER rankiqa
WORKDIR /work
