FROM python:3.11-slim AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /service
COPY pyproject.toml uv.lock ./
# With what traces need: it is not even imported unless the OTEL_ variables ask for it.
RUN uv sync --locked --no-dev --extra otel

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home service \
    && mkdir /data && chown service /data
WORKDIR /service
COPY --from=build /service/.venv .venv
COPY app app
ENV PATH=/service/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 PORT=8000 DATABASE_URL=sqlite:////data/ledger.db DATA_DIR=/data LOG_FORMAT=json
USER service
VOLUME /data
EXPOSE 8000
# Longer than the 20 s in which deliveries under way are finished on SIGTERM.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=4)"]
CMD ["python", "-m", "app", "serve"]
