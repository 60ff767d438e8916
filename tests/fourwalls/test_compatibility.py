"""Scripts written for W&B's client, with the import changed: what arrives, and that nothing raises."""

from __future__ import annotations

import random
import subprocess

import pytest

pytestmark = pytest.mark.slow

SEED, CALLS = 41, 600
USUAL = """
import numpy as np
import fourwalls as wandb
assert wandb.run is None
run = wandb.init(project="compat", entity="my-lab", name="first", config={"lr": 0.1, "model": {"layers": 2}},
                 tags=["a"], group="g", job_type="train", notes="hello", monitor_gym=True, weird=3)
assert run is wandb.run is wandb.init()
wandb.config.update({"lr": 0.2}, allow_val_change=True)
wandb.config.batch = 32
wandb.config = {"momentum": 0.9}
print(run.id, wandb.config.lr, dict(wandb.config)["batch"], wandb.config.momentum, wandb.run.name)
wandb.define_metric("epoch")
wandb.define_metric("val/*", step_metric="epoch", summary="min")
for step in range(20):
    wandb.log({"loss": np.float32(1 / (step + 1)), "nested": {"a": step}}, commit=False)
    wandb.log({"acc": step / 20})
for epoch in range(3):
    wandb.log({"val/loss": 1.0 / (epoch + 1), "epoch": epoch})
wandb.summary["best"] = 0.9
wandb.run.summary["loss"] = 0.5
wandb.run.summary.update({"word": "w"})
print(wandb.summary["acc"])
wandb.alert("careful", "text", level=wandb.AlertLevel.WARN)
wandb.finish()
assert wandb.run is None
wandb.log({"late": 1})
"""
FILES = """
import os
import fourwalls as wandb
run = wandb.init(project="files", save_code=True)
print(run.id)
open("one.txt", "w").write("1")
wandb.save("one.txt")
wandb.save("late-*.txt")
open("late-1.txt", "w").write("late")
open("one.txt", "w").write("changed")
open(os.path.join(wandb.run.dir, "model.pt"), "w").write("model")
for content in ("a", "b", "b"):
    artifact = wandb.Artifact("weights", type="model", metadata={"content": content})
    with artifact.new_file("w.txt") as file:
        file.write(content)
    run.log_artifact(artifact, aliases=["best"] if content == "b" else [])
run.finish()
for name, text in (("weights", "b"), ("weights:v0", "a"), ("files/weights:best", "b"), ("weights:latest", "b")):
    found = wandb.Api().artifact(name, project=None if "/" in name else "files")
    assert open(os.path.join(found.download("down-" + name.replace("/", "_")), "w.txt")).read() == text, name
print(found.version)
"""


def test_the_usual_calls_of_a_script_arrive(finished, server):
    lines = finished(USUAL).splitlines()
    run_id, *printed = lines[0].split()
    assert printed == ["0.2", "32", "0.9", "first"] and lines[1] == "0.95"
    run = server.get(f"/runs/{run_id}")
    assert (run["name"], run["project"], run["note"], run["state"]) == (
        "first",
        "compat",
        "hello",
        "succeeded",
    )
    assert run["params"] == {"lr": "0.2", "model.layers": "2", "batch": "32", "momentum": "0.9"}
    assert run["tags"] == {"a": "", "group": "g", "job_type": "train", "summary.word": "w"}
    assert [step for step, _ in server.points(run_id)] == list(range(20))  # commit=False shares the step
    assert [step for step, _ in server.points(run_id, "acc")] == list(range(20))
    assert server.points(run_id, "val/loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert server.points(run_id, "best")[0][1] == 0.9 and server.points(run_id, "summary/loss")[0][1] == 0.5


def test_unknown_arguments_are_ignored_with_one_warning_and_the_address_is_printed_twice(script, server):
    _, err = script(USUAL).communicate(timeout=60)
    assert err.count("init() ignores monitor_gym, weird.") == 1
    assert err.count(f"{server.url}/runs/") == 2
    assert err.count("is no team of yours") == 1


def test_files_arrive_when_they_change_or_appear_later_and_versions_count_up(
    finished, server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_id, version = finished(FILES).split()
    found = {one["path"]: one["size_bytes"] for one in server.get(f"/runs/{run_id}/artefacts")["items"]}
    assert {"one.txt": 7, "late-1.txt": 4, "model.pt": 5}.items() <= found.items()
    assert version == "v1"
    versions = server.get(f"/versions?run={run_id}")["items"]
    assert [(one["version"], one["aliases"], one["missing"]) for one in versions] == [
        ("v1", ["best"], []),
        ("v0", [], []),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("reinit=True", 1), ("project='b'", 2), ("", 1), ("reinit='return_previous', project='b'", 1)],
)
def test_a_second_init_continues_ends_or_adds_a_run(arguments, expected, finished, server):
    out = finished(f"""
        first = fourwalls.init(project="a")
        second = fourwalls.init({arguments})
        print(first.id, second.id, len(fourwalls.current._active))
    """)
    first, second, active = out.split()
    assert int(active) == expected
    assert (first == second) == ("return_previous" in arguments or not arguments)


def test_a_run_that_did_not_end_is_resumed_by_auto(finished, server):
    killed = "print(run.id); run.log({'loss': 1.0}); run.flush(); os._exit(1)"
    first = finished(f"run = fourwalls.init(resume='auto'); {killed}", code_expected=1)
    second = finished(
        "run = fourwalls.init(resume='auto'); print(run.id, int(run.step)); run.log({'loss': 2.0})"
    )
    assert second.split() == [first, "1"]
    assert server.points(first) == [(0, 1.0), (1, 2.0)]


def test_output_and_environment_are_recorded_as_a_terminal_and_git_show_them(
    finished, server, tmp_path, monkeypatch
):
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    for command in (
        "init -q .",
        "add .",
        "-c user.name=a -c user.email=a@b commit -q --allow-empty -m first",
    ):
        subprocess.run(["git", *command.split()], check=True)
    (repository / "train.py").write_text("x = 1\n")
    subprocess.run(["git", "add", "train.py"], check=True)
    code = """
        run = fourwalls.init()
        print(run.id)
        for number in range(101):
            sys.stderr.write(f"\\r{number}%")
        print("\\n\\x1b[31mred\\x1b[0m end")
    """
    run_id = finished(code, CONSOLE="1", ENVIRONMENT="1").splitlines()[0]
    assert server.get(f"/runs/{run_id}/console")["lines"][:3] == [run_id, "100%", "red end"]
    found = server.get(f"/runs/{run_id}/environment")
    facts = found["facts"]
    assert len(facts["git_commit"]) == 40 and facts["git_state"] == "changed"
    assert facts["python"].startswith("3.") and any(one.startswith("msgspec==") for one in found["packages"])
    files = {one["path"] for one in server.get(f"/runs/{run_id}/artefacts")["items"]}
    assert files == {"code/diff.patch", "code/requirements.txt"}


def test_secrets_on_the_command_line_are_not_recorded():
    from fourwalls import environment

    given = [
        "python",
        "t.py",
        "--api-key",
        "s3cret",
        "--token=s3cret",
        "--lr",
        "1",
        "https://me:s3cret@host/x",
    ]
    words = environment.hide_secrets(given)
    assert "s3cret" not in " ".join(words)
    assert words[:2] == given[:2] and words[5:7] == ["--lr", "1"]


VALUES = """
None, 1, -1.5, float("nan"), True, "", "x", "a" * 10000, "\\ud800", "nul\\0", b"b", [], [1, 2], (), {}, {"a": 1},
{1: {2: {3: None}}}, object(), print, int, Exception("e"), np.zeros(3), np.zeros((2, 3, 4, 5)), np.float32(1),
10**400, wandb.Image, wandb.Table(), wandb.Image(np.zeros((2, 2))), wandb.Histogram([1, 2]), wandb.Html("x"),
{"a": [wandb.Image(3)]}, set(), range(3), lambda: 1, "../../x", "/nothing/*",
type("Odd", (), {"__str__": lambda self: 1 / 0, "shape": 5})()
"""


def test_no_call_raises_whatever_it_is_given(finished, server, tmp_path, monkeypatch):
    """Every function, with random arguments; the run must still be whole at its end."""
    names = ["log", "save", "config.update", "config.setdefaults", "summary.update", "define_metric", "alert", "watch",
             "unwatch", "log_artifact", "log_code", "Image", "Table", "Histogram", "Video", "Audio", "Html", "Artifact",
             "run.tag", "run.note", "run.params", "run.log", "run.save", "run.phase", "mark_preempting", "termlog",
             "login", "Settings", "run.define_metric", "plot.line", "plot.bar", "plot.confusion_matrix"]  # fmt: skip
    seed = random.Random(SEED).random()
    monkeypatch.chdir(tmp_path)  # a folder without files
    out = finished(f"""
        import random, logging
        import numpy as np
        import fourwalls as wandb
        logging.disable(logging.CRITICAL)
        draw = random.Random({seed!r})
        run = wandb.init(project="hostile", **{{"config": object(), "tags": "one", "notes": 3, "id": None}})
        values = [{VALUES.replace(chr(10), " ")}]
        failed = []
        for number in range({CALLS}):
            name = draw.choice({names!r})
            function = wandb
            for part in name.split("."):
                function = getattr(function, part)
            arguments = [draw.choice(values) for _ in range(draw.randint(0, 3))]
            named = {{}}
            if name in ("log", "run.log") and draw.random() < 0.5:
                arguments, named = [{{"m": draw.choice(values)}}], {{"step": draw.choice(values)}}
            try:
                function(*arguments, **named)
            except TypeError as error:
                if "argument" not in str(error):  # a call that no signature takes is the script's own mistake
                    failed.append((name, repr(error)))
            except BaseException as error:
                failed.append((name, repr(error)))
        wandb.log({{"last": 1.0}}, step=10**6)
        print(run.id, failed)
        wandb.finish()
    """)
    run_id, failed = out.split(" ", 1)
    assert failed == "[]"
    assert server.points(run_id, "last") == [(10**6, 1.0)]
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"
