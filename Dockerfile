# One image for every command: `docker run netsold worker`, `… serve`, `… topics create`.
FROM python:3.12-slim
WORKDIR /app
COPY requirements/run.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml LICENSE ./
COPY docs/runbook.md docs/
COPY schemas schemas
COPY tables tables
COPY streams streams
COPY serving serving
COPY operations operations
RUN pip install --no-cache-dir --no-deps . \
    && useradd --system --no-create-home netsold \
    && mkdir /data && chown netsold /data
USER netsold
WORKDIR /data
ENTRYPOINT ["netsold"]
