"""The client on Python 3.9, and on systems without what only Linux or POSIX has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.fourwalls.test_sync import sync
from tests.running import ROOT

FILES = sorted((ROOT / "fourwalls").rglob("*.py"))
TYPES = {"str", "int", "float", "bytes", "bool", "dict", "list", "tuple", "set", "Path", "Any"}
# Modules of one system; imported only where an ImportError is caught
OF_ONE_SYSTEM = {"fcntl", "msvcrt", "resource", "pwd", "grp", "termios", "tty", "pty", "winreg", "tomllib"}
NEWER_NAMES = {"UTC", "StrEnum", "Self", "TypeAlias", "ParamSpec", "pairwise", "ExceptionGroup", "TaskGroup"}
NEWER_KEYWORDS = {("zip", "strict"), ("dataclass", "slots"), ("dataclass", "kw_only")}

TAKEN_AWAY = """
import builtins, os, sys
import io, pathlib
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "register_at_fork", "getloadavg", "statvfs", "sysconf", "uname", "getuid",
             "sched_getaffinity", "O_CLOEXEC", "getppid" if False else "getpgid", "killpg", "setsid"):
    if hasattr(os, name):
        delattr(os, name)
def is_away(path):
    return str(path).startswith(("/proc", "/sys"))
def guard(function):
    def guarded(path, *values, **named):
        if is_away(path):
            raise FileNotFoundError(2, "taken away", str(path))
        return function(path, *values, **named)
    return guarded
builtins.open = io.open = guard(io.open)
os.open, os.stat, os.listdir, os.scandir = map(guard, (os.open, os.stat, os.listdir, os.scandir))
exists = os.path.exists
os.path.exists = lambda path: not is_away(path) and exists(path)
"""


def tree_of(path):
    return ast.parse(path.read_text(), filename=str(path), feature_version=(3, 9))


def annotations_in(tree) -> set[int]:
    """The nodes of annotations, which `from __future__ import annotations` never evaluates."""
    found = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if (below := getattr(node, field, None)) is not None:
                found |= {id(one) for one in ast.walk(below)}
    return found


def problems_of(tree) -> Iterator[str]:
    notes = annotations_in(tree)
    caught = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        and any("ImportError" in ast.unparse(h.type or node) for h in node.handlers)
        for one in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and id(node) not in notes:
            sides = [ast.unparse(side).partition("[")[0] for side in (node.left, node.right)]
            if any(side in TYPES or side == "None" for side in sides):
                yield f"{node.lineno}: a union at run time: {ast.unparse(node)}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            yield from (
                f"{node.lineno}: {name}({key.arg}=)"
                for key in node.keywords
                if (name, key.arg) in NEWER_KEYWORDS
            )
        elif isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in caught:
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names]
            yield from (f"{node.lineno}: imports {name}" for name in (*modules, *names)
                        if name in OF_ONE_SYSTEM | NEWER_NAMES)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_is_python_3_9_for_every_system(path):
    assert not list(problems_of(tree_of(path)))
    assert "from __future__ import annotations" in path.read_text() or "|" not in path.read_text()


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("A = dict[str, float | None]", True),
        ("isinstance(x, str | bytes)", True),
        ("def f(x: int | None) -> str | None: ...", False),
        ("flags = a | b", False),
        ("zip(a, b, strict=True)", True),
        ("import fcntl", True),
        ("try:\n    import fcntl\nexcept ImportError:\n    pass", False),
        ("from datetime import UTC", True),
    ],
)
def test_the_check_sees_what_it_is_for(line, is_refused):
    assert bool(list(problems_of(ast.parse(line)))) == is_refused


def test_newer_syntax_is_refused():
    with pytest.raises(SyntaxError):
        ast.parse("match x:\n    case 1: pass", feature_version=(3, 9))


def run_without(code: str, spools, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"FOURWALLS_DIR": str(spools), "PYTHONPATH": str(ROOT), "FOURWALLS_MODE": "offline", **variables}
    command = [sys.executable, "-c", TAKEN_AWAY + code]
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=120)


def test_every_module_is_imported_without_fork_fcntl_and_proc(spools):
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in FILES]
    wanted = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    done = run_without(f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)", spools)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_is_logged_without_fork_fcntl_and_proc(spools, server):
    code = """
import fourwalls as wandb
run = wandb.init(project="portable", config={"lr": 1})
print(run.id)
for step in range(50):
    with run.step():
        wandb.log({"loss": 1.0 / (step + 1)})
wandb.log({"shape": wandb.Histogram([1, 2, 3])})
wandb.finish()
"""
    done = run_without(code, spools, FOURWALLS_SYSTEM_S="0.1")
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.strip()
    sync(server, spools)
    assert len(server.points(run_id)) == 50
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"
    assert server.get(f"/runs/{run_id}/media")["names"][0]["key"] == "shape"
