"""The client from the web host: a wheel that installers take, and the snippet with a token."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import zipfile

import pytest
from django.test import Client

import fourwalls
from dashboard.server import client_package
from jobs.models import ApiToken


@pytest.fixture(scope="module")
def package():
    return client_package.build()


def test_the_package_depends_on_its_files_alone(package):
    client_package.build.cache_clear()
    assert client_package.build() == package
    assert package.version.startswith(f"{fourwalls.__version__}+c")


def test_the_record_of_the_wheel_is_right(package):
    with zipfile.ZipFile(io.BytesIO(package.wheel)) as wheel:
        names = wheel.namelist()
        (record,) = [name for name in names if name.endswith("RECORD")]
        rows = [line.split(",") for line in wheel.read(record).decode().splitlines()]
        assert sorted(row[0] for row in rows) == sorted(names)
        for name, digest, size in rows[:-1]:
            content = wheel.read(name)
            made = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={made}", len(content))
        metadata = next(wheel.read(name).decode() for name in names if name.endswith("METADATA"))
    assert f"Version: {package.version}" in metadata and "Requires-Python: >=3.9" in metadata
    assert "fourwalls/media/images.py" in names and not any("test" in name for name in names)


def test_pip_installs_the_archive_without_any_other_package(package, tmp_path):
    with zipfile.ZipFile(io.BytesIO(package.archive)) as archive:
        archive.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--target",
        str(tmp_path / "to"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "to/fourwalls/initialise.py").is_file()


def test_the_client_is_served_without_a_login(package, db):
    stranger = Client()
    for address in ("/client", "/client/"):
        answer = stranger.get(address)
        assert answer.status_code == 200 and answer.content == package.archive
        assert package.archive_name in answer["Content-Disposition"]
    assert stranger.get(f"/client/{package.wheel_name}").content == package.wheel
    assert stranger.get("/client/fourwalls-9.9-py3-none-any.whl").status_code == 404


def test_an_empty_page_has_the_snippet_and_a_click_fills_in_a_token(owner_browser, viewer_browser, owner):
    for page in ("/runs/", "/jobs/"):
        text = owner_browser.get(page).text
        assert "pip install http://testserver/client" in text and "import fourwalls as wandb" in text
    answer = owner_browser.post("/client/snippet/")
    token = answer.text.split("FOURWALLS_TOKEN=")[1].split()[0]
    assert ApiToken.objects.filter(user=owner).count() == 1
    assert Client().get("/api/v1/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert viewer_browser.post("/client/snippet/").status_code == 404
    assert owner_browser.get("/client/snippet/").status_code == 405
