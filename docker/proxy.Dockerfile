# Shares requests out among the service's replicas.
#   docker build --file docker/proxy.Dockerfile --tag dgrl:proxy docker
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/*
COPY proxy.conf /etc/nginx/nginx.conf
EXPOSE 8000
CMD ["nginx", "-g", "daemon off;"]
