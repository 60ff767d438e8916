"""DATABASE_URL and BROKER_URL with passwords of any characters."""

from __future__ import annotations

import random
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured

from dashboard.server import env

SEED = 12
CUTTING = "/?#"


def passwords(count: int) -> list[str]:
    source = random.Random(SEED)
    plain = string.ascii_letters + string.digits + "@:%!*$&=+,;~"
    return ["".join(source.choices(plain + CUTTING, k=source.randint(1, 24))) for _ in range(count)]


@pytest.mark.parametrize("password", passwords(60))
def test_a_password_is_read_or_refused_with_a_way_out_and_never_shown(password):
    url = f"postgresql://fourwalls:{quote(password, safe='')}@database:5432/fourwalls"
    assert env.database(url, Path("unused"))["PASSWORD"] == password
    if not set(password) & set(CUTTING):
        return
    for name, raw in (
        ("DATABASE_URL", f"postgresql://fourwalls:{password}@database:5432/fourwalls"),
        ("BROKER_URL", f"redis://:{password}@broker:6379/0"),
    ):
        with pytest.raises(ImproperlyConfigured, match=f"{name}: its password holds") as refused:
            env.refuse_unencoded_password(name, raw)
        assert len(password) < 4 or password not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "redis+socket:///home/a@b/broker.sock", "redis://broker:6379/0", "redis://:p@b/0"]
)
def test_a_url_without_a_cut_password_passes(url):
    env.refuse_unencoded_password("BROKER_URL", url)
