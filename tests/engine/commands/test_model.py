"""The command `python -m engine model`, on public configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine.__main__ import main
from engine.checkpoints.huggingface.architectures import build_model, read_config
from engine.model_math import counts
from engine.spec.spec import parse
from tests.engine.checkpoints.families.test_public_configs import ACCEPTED, REFUSED


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_printed_spec_is_that_of_the_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ACCEPTED[name]["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["model", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    spec = parse(yaml.safe_load(out))
    assert spec.model == build_model(read_config(config)[1])
    assert spec.vocab_size == config["vocab_size"]
    assert f"{counts.parameters(spec):,} parameters" in out.splitlines()[0]


def test_a_folder_that_is_not_supported_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(REFUSED["Mixtral-8x7B-v0.1"]["config"]))
    assert main(["model", str(tmp_path)]) == 1
    assert "mixture of experts" in capsys.readouterr().err
    assert main(["model", str(tmp_path / "nothing")]) == 1
    assert "it has no config.json" in capsys.readouterr().err
