# The newest Python for which every dependency in uv.lock has a wheel; tests/test_ops.py looks.
# Each image is pinned by tag and digest. For today's digest of a tag:
#   docker buildx imagetools inspect python:3.14.6-slim
FROM python:3.14.6-slim@sha256:cea0e6040540fb2b965b6e7fb5ffa00871e632eef63719f0ea54bca189ce14a6 AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /service
COPY pyproject.toml uv.lock ./
# The otel extra is for traces. It is imported only if the OTEL_ variables ask for it.
RUN uv sync --locked --no-dev --extra otel && chmod -R go-w .venv

FROM python:3.14.6-slim@sha256:cea0e6040540fb2b965b6e7fb5ffa00871e632eef63719f0ea54bca189ce14a6
RUN useradd --system --uid 10001 --user-group --no-create-home service \
    && mkdir --mode 0700 /data && chown 10001:10001 /data
WORKDIR /service
COPY --from=build /service/.venv .venv
COPY app app
ENV PATH=/service/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 PORT=8000 DATABASE_URL=sqlite:////data/ledger.db DATA_DIR=/data LOG_FORMAT=json
# Numeric, so that Kubernetes can see that it is not root. Nothing but /data is written.
USER 10001:10001
VOLUME /data
EXPOSE 8000
# On SIGTERM the service finishes what is under way within 20 s: give it 30 s before it is killed.
STOPSIGNAL SIGTERM
# Not by urllib, which would ask HTTP_PROXY for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app", "serve"]
