# One file, two images: `web` (no torch) for web, scheduler and migrations; `engine` for agents.
FROM python:3.11-slim AS web
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 fourwalls && install -d -o fourwalls /var/lib/fourwalls /srv/fourwalls
WORKDIR /srv/fourwalls
COPY pyproject.toml constraints.txt README.md ./
RUN pip install -c constraints.txt ".[parquet]"
COPY --chown=fourwalls . .
USER fourwalls

FROM web AS engine
USER root
RUN pip install -c constraints.txt ".[engine]"
USER fourwalls
