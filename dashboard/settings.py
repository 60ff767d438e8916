"""Django settings.

Values that differ between machines come from environment variables (docs/settings.md).
"""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from dashboard.server import env, private_home
from engine.request_limits import BODY_BYTES

BASE_DIR = Path(__file__).resolve().parent.parent
HOME_DIR = env.folder(
    "FOURWALLS_HOME",
    BASE_DIR / ".fourwalls",
    "All files that a running Fourwalls writes: database, broker socket, nodes, attempts, corpora.",
    shown=".fourwalls in the checkout",
)
private_home.close_home(HOME_DIR)

DEBUG = env.flag("DEBUG", False, "Django's debug mode. Never on a server that others reach.")
SECRET_KEY = env.secret(
    "SECRET_KEY",
    HOME_DIR / "secret_key",
    "Signs sessions and links. All web processes need the same one.",
    shown="made at first start, in FOURWALLS_HOME/secret_key",
)
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"], "Host names under which pages are served."
)
CSRF_TRUSTED_ORIGINS = env.words(
    "CSRF_TRUSTED_ORIGINS", [], "Origins behind a TLS proxy, each with its scheme, e.g. https://lab.example."
)
CSRF_FAILURE_VIEW = "dashboard.errors.csrf_failure"
TRUSTED_PROXIES = env.words(
    "FOURWALLS_TRUSTED_PROXIES",
    [],
    "Addresses or networks of proxies in front of the web side: only their X-Forwarded-For and -Proto count.",
)
# `up` writes its address here, so that commands in another shell print working links.
URL_FILE = HOME_DIR / "url"
PREPARING_FILE = HOME_DIR / "preparing.lock"  # held while migrations run
BASE_URL = env.text(
    "BASE_URL",
    URL_FILE.read_text() if URL_FILE.exists() else "http://127.0.0.1:8000",
    "Address of the web side, for links; https makes cookies secure.",
    shown="the address that `up` serves, else http://127.0.0.1:8000",
)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "jobs",
    "dashboard",
]

MIDDLEWARE = [
    "dashboard.errors.ErrorForm",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dashboard.server.middleware.ContentSecurityPolicy",
    "dashboard.server.middleware.AddressLimits",
    "dashboard.errors.RateLimits",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["dashboard.templatetags.units"],
        },
    },
]

DATABASES = {
    "default": env.database(
        env.text(
            "DATABASE_URL", "", "postgresql://user:password@host/name; empty: SQLite in FOURWALLS_HOME."
        ),
        HOME_DIR / "fourwalls.sqlite3",
    )
}

WEB_THREADS = env.whole(
    "FOURWALLS_WEB_THREADS",
    20,
    "",
    "Requests that a web process serves at a time, each with a database connection; others wait, then get 503.",
    least=1,
)

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_ENGINE = "jobs.people.session_store"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_VERBOSE = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
_IN_MEMORY = "django.core.cache.backends.locmem.LocMemCache"
CACHES = {"default": {"BACKEND": _IN_MEMORY, "OPTIONS": {"MAX_ENTRIES": 50_000}}}
# Limits of one caller and one team: docs/serving.md
LOGINS_PER_MIN = env.whole("FOURWALLS_LOGINS_PER_MIN", 60, "1/min", "Logins from one address; 0: any.")
SUBMITS_PER_MIN = env.whole("FOURWALLS_SUBMITS_PER_MIN", 600, "1/min", "Jobs and sweeps of a caller; 0: any.")
INGESTS_PER_MIN = env.whole("FOURWALLS_INGESTS_PER_MIN", 60_000, "1/min", "Deliveries of a token; 0: any.")
EXPORTS_PER_MIN = env.whole("FOURWALLS_EXPORTS_PER_MIN", 300, "1/min", "Exports of a caller; 0: any.")
TEAM_ARTEFACT_BYTES = env.whole(
    "FOURWALLS_TEAM_ARTEFACT_BYTES", 2**40, "bytes", "A team's artefacts; 0: any."
)
TEAM_DATASET_BYTES = env.whole("FOURWALLS_TEAM_DATASET_BYTES", 10**11, "bytes", "A team's data sets; 0: any.")
TEAM_POINTS = env.whole("FOURWALLS_TEAM_POINTS", 10**11, "points", "A team's points; 0: any.")
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
# localhost on two ports is one site to a browser: two Fourwalls servers must not log each other out.
SESSION_COOKIE_NAME = f"fourwalls_{BASE_URL.rsplit(':', 1)[-1].strip('/')}"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = (
    256 * 1024
)  # a longer body waits in a file, so that many at a time fit into memory

STATIC_URL = "static/"
STATIC_ROOT = HOME_DIR / "static"
WHITENOISE_KEEP_ONLY_HASHED_FILES = (
    True  # only hashed names are requested; halves the files of the first start
)
STATICFILES_DIRS = [BASE_DIR / "dashboard" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.server.storage.HashedStaticFiles"},
}

# Broker: an external Redis or Valkey, or the embedded one on a unix socket that only this user can open.
BROKER_SOCKET = env.socket(HOME_DIR / "broker" / "broker.sock")
BROKER_URL = env.text(
    "BROKER_URL",
    f"redis+socket://{BROKER_SOCKET}",
    "Redis >= 7 or Valkey, redis://host:port/0.",
    shown="the embedded Valkey on a unix socket",
)
env.refuse_unencoded_password("BROKER_URL", BROKER_URL)
IS_BROKER_EMBEDDED = f"redis+socket://{BROKER_SOCKET}" == BROKER_URL

# Nodes and attempts
NODE_DIR = env.folder(
    "FOURWALLS_NODE_DIR",
    HOME_DIR / "node",
    "Folder of this node: its identity, device locks, attempts with their logs and checkpoints.",
    shown="FOURWALLS_HOME/node",
)
NODE_NAME = env.text("FOURWALLS_NODE_NAME", "", "Name of this node.", shown="the host's name")
NODE_POOL = env.text("FOURWALLS_POOL", "default", "Pool that this node joins.")
JOIN_TOKEN = env.text(
    "FOURWALLS_JOIN_TOKEN", "", "One-time token for a node's first start; the agent of `up` needs none."
)
FREE_POOLS = env.words("FOURWALLS_FREE_POOLS", [], "Pools that nodes may join without a token.")
DATA_DIR = env.folder(
    "FOURWALLS_DATA_DIR",
    HOME_DIR / "data",
    "Prepared corpora: tokenizers, shards, calibration.",
    shown="FOURWALLS_HOME/data",
)
CORPUS_ROOT = env.folder(
    "FOURWALLS_CORPUS_ROOT",
    HOME_DIR / "corpora",
    "Text files that a spec may name as its corpus.",
    shown="FOURWALLS_HOME/corpora",
)
ARTEFACT_ROOT = env.folder(
    "FOURWALLS_ARTEFACT_ROOT",
    HOME_DIR / "artefacts",
    "Files that runs log. Several web servers must see one folder.",
    shown="FOURWALLS_HOME/artefacts",
)
ARTEFACT_LIMIT_BYTES = env.whole(
    "FOURWALLS_ARTEFACT_LIMIT_BYTES", 10 * 1024**3, "bytes", "Largest artefact; larger ones are refused."
)
DATASET_LIMIT_BYTES = env.whole(
    "FOURWALLS_DATASET_LIMIT_BYTES",
    256 * 1024**2,
    "bytes",
    "Largest uploaded data set. Data sets are kept in the database, so that every node can read them.",
)
CHECKPOINT_ROOT = env.text(
    "FOURWALLS_CHECKPOINT_ROOT",
    "",
    "Folder for checkpoints that several nodes see: nothing is copied between them, and a job may span them.",
    shown="the node's own disk",
)
NODE_ADDRESS = env.text(
    "FOURWALLS_NODE_ADDRESS",
    "",
    "Address by which other nodes reach this one.",
    shown="the address of the default route",
)
PREPARE_LIMIT_S = env.whole(
    "FOURWALLS_PREPARE_LIMIT_S", 60, "s", "Time for all nodes of a job to take their devices."
)
UNREACHABLE_AFTER_S = env.whole(
    "FOURWALLS_UNREACHABLE_AFTER_S", 45, "s", "A node silent for this long gets no new work."
)
REASSIGN_AFTER_S = env.whole(
    "FOURWALLS_REASSIGN_AFTER_S", 600, "s", "A node silent for this long loses its attempts to other nodes."
)
SILENT_RUN_LIMIT_S = env.whole(
    "FOURWALLS_SILENT_RUN_LIMIT_S",
    6 * 3600,
    "s",
    "A logged run silent for this long counts as killed; 0: never.",
)
BIN_KEEP_S = env.whole("FOURWALLS_BIN_KEEP_S", 604_800, "s", "Deleted runs and projects stay for this long.")
PREEMPT_AFTER_S = env.whole(
    "FOURWALLS_PREEMPT_AFTER_S", 300, "s", "No attempt is preempted sooner after its start."
)
DISK_RESERVE_BYTES = env.whole(
    "FOURWALLS_DISK_RESERVE_BYTES",
    2 * 1024**3,
    "bytes",
    "A node with less free space gets no new work, and the server takes no more files; 0: no limit.",
)
SUSPECT_PAUSE_S = env.whole(
    "FOURWALLS_SUSPECT_PAUSE_S",
    600,
    "s",
    "Pause of a node after three failed launches; doubles with each more.",
)
PROBE_AFTER_IDLE_S = env.whole(
    "FOURWALLS_PROBE_AFTER_IDLE_S",
    20,
    "s",
    "Idle time before a device without a profile is probed; 0: only on request.",
)
SHARE_HALF_LIFE_S = env.whole(
    "FOURWALLS_SHARE_HALF_LIFE_S", 7 * 24 * 3600, "s", "Half-life of past use in fair share."
)
STOP_GRACE_S = env.whole(
    "FOURWALLS_STOP_GRACE_S", 60, "s", "Time between asking ranks to stop and killing them."
)
if REASSIGN_AFTER_S < 2 * STOP_GRACE_S:
    raise ImproperlyConfigured(
        f"FOURWALLS_REASSIGN_AFTER_S={REASSIGN_AFTER_S} is too short: an attempt may take {STOP_GRACE_S} s "
        "(FOURWALLS_STOP_GRACE_S) to stop. Set at least twice that."
    )
RETRY_LIMIT = env.whole(
    "FOURWALLS_RETRY_LIMIT", 0, "", "Automatic retries after failures that are the job's own."
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "dashboard.server.log_limits.BoundedHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": env.text("LOG_LEVEL", "INFO", "Lowest level written to stderr."),
    },
    "loggers": {
        "axes": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "uvicorn": {"level": "WARNING"},
    },
}
