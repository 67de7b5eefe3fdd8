# A stand-in for Milvus's public image, from the package registry: for tests where no container registry is.
FROM python:3.11-slim-bookworm
RUN pip install --quiet --no-cache-dir milvus==2.3.5
VOLUME /var/lib/milvus
CMD ["milvus-server", "--data", "/var/lib/milvus"]
