"""`manage.py up`: all of Fourwalls on one machine, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from dashboard.server import migration_lock
from dashboard.server.preflight import RUN_BYTES, PreflightError, check_folder, check_port
from dashboard.server.processes import Subprocess, SubprocessGroup
from jobs import broker
from jobs.people import accounts

PAGE_LIMIT_S = 60.0
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


class Command(BaseCommand):
    help = "Start the embedded broker, the scheduler, an agent and the web server, and stop them together."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
        parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000))
        parser.add_argument("--no-demo", action="store_true", help="submit no job on the first start")

    def handle(self, *, host: str, port: int, no_demo: bool, **options: Any) -> None:
        started = time.monotonic()
        self.signals, self.signalled_at = 0, 0.0
        url = f"http://{'localhost' if host in ('0.0.0.0', '::') else host}:{port}"
        try:
            check_folder(settings.HOME_DIR, RUN_BYTES)
            lock = _lock_folder(settings.HOME_DIR / "up.lock", url)
            check_port(host, port)
            settings.URL_FILE.write_text(url)
        except (PreflightError, broker.BrokerError) as error:
            raise CommandError(str(error)) from None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count_signal)
        group = SubprocessGroup(
            settings.HOME_DIR / "log", os.environ | {"BASE_URL": url, "PYTHONUNBUFFERED": "1"}
        )
        try:
            is_first = self._prepare(group, host, port)
            self._start_work(group)
            if self._wait_for_page(group, f"{url}/login/"):
                self._print_links(url, time.monotonic() - started)
                if is_first and not no_demo:
                    subprocess.run([*MANAGE, "submit", "demo", "--fit"], env=group.environment, check=False)
            while not self.signals:
                group.watch()
                time.sleep(0.2)
        except (PreflightError, broker.BrokerError) as error:
            raise CommandError(str(error)) from None
        finally:
            self._print_progress(
                "stopping: running jobs make a checkpoint first (Ctrl-C again: stop at once)"
            )
            group.stop(is_impatient=lambda: self.signals > 1)
            lock.close()
        self._print_progress("stopped", "")

    def _prepare(self, group: SubprocessGroup, host: str, port: int) -> bool:
        """Migrate the database while the web server imports its modules. Return whether this is the first start."""
        self._print_progress("preparing the database")
        with migration_lock.hold_lock(settings.PREPARING_FILE):
            group.start(Subprocess("web", [*MANAGE, "web", "--host", host, "--port", str(port)]))
            return _migrate()

    def _start_work(self, group: SubprocessGroup) -> None:
        if settings.IS_BROKER_EMBEDDED:
            group.start(Subprocess("broker", broker.build_command(settings.BROKER_SOCKET)))
            broker.wait_until_ready(settings.BROKER_SOCKET)
        # The agent waits for the checkpoints of the attempts that it stops: their grace and half a minute.
        group.start(Subprocess("scheduler", [*MANAGE, "scheduler"]))
        group.start(
            Subprocess("agent", [*MANAGE, "agent", "--stop-attempts"], stop_s=settings.STOP_GRACE_S + 60)
        )

    def _wait_for_page(self, group: SubprocessGroup, url: str) -> bool:
        self._print_progress("waiting for the first page")
        deadline = time.monotonic() + PAGE_LIMIT_S
        while not self.signals:
            group.watch()
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return True
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"No page within {PAGE_LIMIT_S:.0f} s; see {group.log_dir / 'web.log'}."
                    ) from None
            time.sleep(0.05)
        return False

    def _print_links(self, url: str, seconds: float) -> None:
        token = accounts.make_login_link(accounts.ensure_first_team_and_user())
        self.stdout.write(f"\n  Fourwalls runs at {url}  (ready after {seconds:.1f} s)")
        self.stdout.write(f"  Log in once, within 15 minutes:  {url}/login/{token}/")
        self.stdout.write("  Another link: manage.py login   Stop: Ctrl-C\n")
        self.stdout.flush()

    def _count_signal(self, *_: object) -> None:
        """Count a signal. One Ctrl-C may arrive twice within a second, from the terminal and from a parent."""
        now = time.monotonic()
        if now - self.signalled_at > 1:
            self.signals, self.signalled_at = self.signals + 1, now

    def _print_progress(self, text: str, ending: str = " ...") -> None:
        if self.stdout.isatty():
            self.stdout.write(f"  {text}{ending}")


def _lock_folder(path: Path, url: str) -> TextIO:
    """Take the lock that allows one `up` per folder. Raises PreflightError that names the running one."""
    lock = open(path, "a+")  # noqa: SIM115  (held until the end of the process)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise PreflightError(
            f"Fourwalls already runs from this folder: {lock.read().strip() or 'starting'}."
        ) from None
    lock.truncate(0)
    lock.write(f"{url} (process {os.getpid()})")
    lock.flush()
    return lock


def _migrate() -> bool:
    """Migrate; make the first team and user. Return whether this is the first start."""
    from jobs.models import Job

    try:
        call_command("migrate", verbosity=0, interactive=False)
        accounts.ensure_first_team_and_user()
        return not Job.objects.exists()
    except OperationalError as error:
        raise PreflightError(f"The database cannot be used: {error}.") from None
