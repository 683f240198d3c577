# GNU Octave with the image package, for the original's MATLAB files, which are mounted when it runs.
FROM debian:bookworm-slim

# Another Debian mirror, for the day when bookworm has moved to the archive; empty: what the base image uses.
ARG MIRROR=
RUN if [ -n "$MIRROR" ]; then \
      rm -f /etc/apt/sources.list.d/*; echo "deb $MIRROR bookworm main" > /etc/apt/sources.list; \
    fi \
 && apt-get -o Acquire::Check-Valid-Until=false update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends octave octave-image \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 rankiqa && install -d -o rankiqa -g rankiqa /work
USER rankiqa
WORKDIR /work
