# A stand-in for Prometheus's public image, from Debian: for tests where no container registry is.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get download -qq prometheus && dpkg --extract prometheus_*.deb /opt \
    && rm -rf prometheus_*.deb /var/lib/apt/lists/* \
    && install --directory --owner nobody --group nogroup /prometheus
VOLUME /prometheus
EXPOSE 9090
USER nobody
ENTRYPOINT ["/opt/usr/bin/prometheus"]
