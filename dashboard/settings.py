"""Every setting. What differs between machines comes from the environment, read by dashboard.server.env."""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from dashboard.server import env
from engine.request_limits import BODY_BYTES

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything a running Fourwalls writes: database, broker socket, nodes, attempts, prepared corpora.
HOME_DIR = Path(env.text("FOURWALLS_HOME", str(BASE_DIR / ".fourwalls"))).resolve()

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret("SECRET_KEY", HOME_DIR / "secret_key")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])
# `up` leaves its address here, so that commands in another shell print links that work.
URL_FILE = HOME_DIR / "url"
PREPARING_FILE = HOME_DIR / "preparing.lock"  # held while the database is brought up to date
BASE_URL = env.text("BASE_URL", URL_FILE.read_text() if URL_FILE.exists() else "http://127.0.0.1:8000")

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

DATABASES = {"default": env.database(env.text("DATABASE_URL", ""), HOME_DIR / "fourwalls.sqlite3")}

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "jobs"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_VERBOSE = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
# localhost on two ports is one site to a browser: two Fourwalls servers must not log each other out.
SESSION_COOKIE_NAME = f"fourwalls_{BASE_URL.rsplit(':', 1)[-1].strip('/')}"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_BYTES

STATIC_URL = "static/"
STATIC_ROOT = HOME_DIR / "static"
WHITENOISE_KEEP_ONLY_HASHED_FILES = True  # nothing asks for the others; half the files of a first start
STATICFILES_DIRS = [BASE_DIR / "dashboard" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.server.storage.HashedStaticFiles"},
}

# Broker: a Redis or Valkey elsewhere, or the embedded one on a unix socket that only this user can open.
BROKER_SOCKET = env.socket(HOME_DIR / "broker" / "broker.sock")
BROKER_URL = env.text("BROKER_URL", f"redis+socket://{BROKER_SOCKET}")
IS_BROKER_EMBEDDED = f"redis+socket://{BROKER_SOCKET}" == BROKER_URL

# Nodes and attempts
NODE_DIR = Path(env.text("FOURWALLS_NODE_DIR", str(HOME_DIR / "node"))).resolve()
NODE_NAME = env.text("FOURWALLS_NODE_NAME", "")
NODE_POOL = env.text("FOURWALLS_POOL", "default")
JOIN_TOKEN = env.text("FOURWALLS_JOIN_TOKEN", "")  # of a node's first start; `up`'s own agent needs none
FREE_POOLS = env.words("FOURWALLS_FREE_POOLS", [])  # that `prepare` lets nodes join without a token
DATA_DIR = Path(env.text("FOURWALLS_DATA_DIR", str(HOME_DIR / "data"))).resolve()
CORPUS_ROOT = Path(env.text("FOURWALLS_CORPUS_ROOT", str(HOME_DIR / "corpora"))).resolve()
# Files that runs log through the API. Several web servers must see one folder; a file above the limit is refused.
ARTEFACT_ROOT = Path(env.text("FOURWALLS_ARTEFACT_ROOT", str(HOME_DIR / "artefacts"))).resolve()
ARTEFACT_LIMIT_BYTES = env.whole("FOURWALLS_ARTEFACT_LIMIT_BYTES", 10 * 1024**3)
# Data sets that people upload are kept in the database, so that agents on every node can read them.
DATASET_LIMIT_BYTES = env.whole("FOURWALLS_DATASET_LIMIT_BYTES", 256 * 1024**2)
# Where this node's checkpoints go when several nodes see one folder: a job then resumes on any of them. Unset: on the
# node's own disk. The address is the one by which other nodes reach this one; unset: that of its default route.
CHECKPOINT_ROOT = env.text("FOURWALLS_CHECKPOINT_ROOT", "")
NODE_ADDRESS = env.text("FOURWALLS_NODE_ADDRESS", "")
PREPARE_LIMIT_S = env.whole("FOURWALLS_PREPARE_LIMIT_S", 60)
UNREACHABLE_AFTER_S = env.whole("FOURWALLS_UNREACHABLE_AFTER_S", 45)
REASSIGN_AFTER_S = env.whole("FOURWALLS_REASSIGN_AFTER_S", 600)
SILENT_RUN_LIMIT_S = env.whole(
    "FOURWALLS_SILENT_RUN_LIMIT_S", 6 * 3600
)  # then a logged run was killed; 0: never
PREEMPT_AFTER_S = env.whole(
    "FOURWALLS_PREEMPT_AFTER_S", 300
)  # no attempt is preempted sooner after its start
SUSPECT_PAUSE_S = env.whole(
    "FOURWALLS_SUSPECT_PAUSE_S", 600
)  # after three failed launches; doubles with each more
# How long a node must stand idle before a device without a profile is probed; 0: only when somebody asks.
PROBE_AFTER_IDLE_S = env.whole("FOURWALLS_PROBE_AFTER_IDLE_S", 20)
SHARE_HALF_LIFE_S = env.whole("FOURWALLS_SHARE_HALF_LIFE_S", 7 * 24 * 3600)
STOP_GRACE_S = env.whole("FOURWALLS_STOP_GRACE_S", 60)  # from asking ranks to stop to killing them
if REASSIGN_AFTER_S < 2 * STOP_GRACE_S:
    raise ImproperlyConfigured(
        f"FOURWALLS_REASSIGN_AFTER_S={REASSIGN_AFTER_S} is too short: an attempt may take {STOP_GRACE_S} s "
        "(FOURWALLS_STOP_GRACE_S) to stop. Say at least twice that."
    )
# Failures of the job's own that are tried again by themselves
RETRY_LIMIT = env.whole("FOURWALLS_RETRY_LIMIT", 0)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {"axes": {"level": "WARNING"}, "celery": {"level": "WARNING"}},
}
