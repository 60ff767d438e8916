"""A process stopped in the middle of a transaction on PostgreSQL.

Other processes wait for its locks only up to a limit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.server import env

SHORT_MS = 300


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect as Django does, with the options of the settings."""
    options = env.database(url, Path("unused"))["OPTIONS"]["options"]
    return psycopg.connect(url, options=options)


@pytest.mark.services
def test_the_server_lets_go_of_its_locks(postgresql, monkeypatch):
    monkeypatch.setattr(env, "STUCK_TRANSACTION_MS", SHORT_MS)
    with psycopg.connect(postgresql, autocommit=True) as anybody:
        anybody.execute("CREATE TABLE stuck (id int)")
        anybody.execute("INSERT INTO stuck VALUES (1)")
        stopped = connect(postgresql)
        stopped.execute("SELECT * FROM stuck FOR UPDATE")
        anybody.execute("SET lock_timeout = '20s'")
        assert anybody.execute("SELECT * FROM stuck FOR UPDATE").fetchone() == (1,)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            stopped.execute("SELECT 1")
        stopped.close()
        anybody.execute("DROP TABLE stuck")


def test_every_connection_to_postgresql_has_the_limit():
    options = env.database("postgresql://h/d", Path("unused"))["OPTIONS"]
    assert f"idle_in_transaction_session_timeout={env.STUCK_TRANSACTION_MS}" in options["options"]
