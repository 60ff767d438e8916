# One file, two images: `web` (no torch) for web, scheduler and migrations; `engine` for agents.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# A new named volume takes owner and mode of the folder that it covers: every mount of docker-compose.yml is made here.
# An id of the machine inside the image would be that of all machines: the agent keeps one in the node's folder.
RUN useradd --create-home --uid 10001 fourwalls \
    && rm -f /etc/machine-id \
    && install -d -o fourwalls -g fourwalls -m 700 /var/lib/fourwalls /var/lib/fourwalls/artefacts \
       /var/lib/fourwalls/checkpoints /var/lib/fourwalls/corpora /var/lib/fourwalls/data \
       /var/lib/fourwalls/node /var/lib/fourwalls/node-gpu
WORKDIR /srv/fourwalls
COPY pyproject.toml constraints.txt README.md ./
COPY fourwalls fourwalls

FROM base AS web-packages
RUN pip install -c constraints.txt ".[parquet]" && rm -rf build ./*.egg-info

FROM base AS engine-packages
# DeepSpeed's build tool `ninja` and django-ninja share a module name; the one that is installed last must be the latter.
RUN pip install -c constraints.txt ".[engine,parquet]" && rm -rf build ./*.egg-info \
    && pip install -c constraints.txt --no-deps --force-reinstall django-ninja

FROM web-packages AS web
COPY --chown=fourwalls . .
USER fourwalls

FROM engine-packages AS engine
COPY --chown=fourwalls . .
USER fourwalls
