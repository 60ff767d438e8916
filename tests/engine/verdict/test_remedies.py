"""Remedies of all rules on drawn specs: accepted by the checks, and claimed as the step model says."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from engine import planner
from engine.model_math import counts
from engine.planner import HardwareProfile, Link, generic_profile
from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError, parse
from engine.verdict import spec_edits
from engine.verdict.facts import DeviceFacts, Facts, RankFacts
from engine.verdict.judge import judge
from engine.verdict.remedies import Remedy
from engine.verdict.rule import ClockRule
from engine.verdict.rules import BY_ID, RULES
from engine.verdict.shares import compute_shares
from engine.verdict.whatif import predict_gain, predict_gain_of
from tests.engine.verdict.cases import CASES, STATE_CASES, clock, facts, spec

SEED, DRAWS, STEPS = 20261201, 60, 30
WITHIN = 0.01  # of a step, of the model's own ratio
WITHIN_MEASURED = 0.03
SIGN = 0.05  # smaller changes have no sign
EDITED = {remedy.id: remedy for rule in RULES for remedy in rule.remedies if remedy.spec_edit}
BY_HAND = {remedy.id: (rule, remedy) for rule in RULES for remedy in rule.remedies if not remedy.spec_edit}


def draw_spec(rng: random.Random) -> Spec:
    """Any spec that the checks accept, of up to eight ranks."""
    while True:
        data, stages, tensor = rng.choice((1, 2, 4)), rng.choice((1, 1, 2)), rng.choice((1, 1, 2))
        zero = rng.choice((0, 1) if stages > 1 else (0, 1, 2, 3)) if tensor == 1 else rng.choice((0, 1))
        micro, turns = rng.choice((1, 2, 4, 8)), rng.choice((1, 2, 4, 8))
        values = {
            "model": {"layers": rng.choice((2, 4, 8)), "width": rng.choice((64, 256, 512)), "heads": 4,
                      "ffn_width": 1024, "context": rng.choice((32, 128, 512)),
                      "tied_embeddings": rng.random() < 0.3},
            "data": {"tokenizer": "bytes"},
            "batch": {"micro_batch_size": micro, "global_batch_size": micro * turns * data},
            "parallel": {"data": data, "stages": stages, "tensor": tensor, "zero_stage": zero,
                         "activation_checkpointing": rng.choice(("none", "full")),
                         "offload_optimiser": rng.choice(("none", "none", "host")) if zero else "none"},
            "precision": {"dtype": "fp32"},
            "budget": {"steps": 1000, "validate_every": rng.choice((0, 5, 50)), "checkpoint_every": rng.choice((0, 7))},
        }  # fmt: skip
        try:
            found = parse(values)
            refuse_impossible(found)
        except SpecError:
            continue
        return found


def draw_profile(rng: random.Random) -> HardwareProfile:
    base = generic_profile(rng.choice(("cpu", "cuda")))
    fast = base.kind == "cuda"
    link = Link(rng.uniform(1e-5, 1e-4), rng.uniform(1e10, 1e11) if fast else rng.uniform(5e8, 5e9))
    return replace(base, standing="measured", within_node=link, between_nodes=link, memory_bytes=None)


def facts_as_predicted(run: Spec, profile: HardwareProfile) -> Facts:
    """A run whose ranks take exactly what the step model says."""
    phases = dict(planner.predict_costs(run, profile).phases)
    phases["data_wait_s"] = 0.0
    if run.parallel.stages == 1:
        phases.pop("bubble_s")
    step_s = sum(phases.values())
    ranks = []
    for rank in range(run.parallel.world_size):
        stage = rank % run.parallel.stages
        rows = {name: np.full(STEPS, value) for name, value in phases.items()}
        ranks.append(RankFacts(rank, stage, rank // run.parallel.stages, f"d-{rank}", rows))
    devices = tuple(
        DeviceFacts(one.device, profile.kind, {"sm_active_share": 1.0} if profile.kind == "cuda" else {})
        for one in ranks
    )
    return Facts(
        spec=run.model_dump(), ranks=tuple(ranks), devices=devices, step_s=np.full(STEPS, step_s), first_step=6,
        last_step=5 + STEPS, world_size=len(ranks), coverage=1.0, profile=profile,
    )  # fmt: skip


def get_model_gain(run: Spec, changed: Spec, profile: HardwareProfile, **trainer: Any) -> float:
    """1 - time per token after / before, of the step model alone."""
    times = []
    for one, traits in ((run, {}), (changed, trainer)):
        phases = planner.predict_costs(one, profile, *traits.values()).phases
        step_s = sum(value for name, value in phases.items() if name != "data_wait_s")
        times.append(step_s / counts.tokens_per_step(one))
    return 1 - times[1] / times[0]


@dataclass(frozen=True)
class Claimed:
    remedy: str
    changes: dict[str, Any]
    claim: float
    true: float  # by the step model alone
    is_exact: bool

    @property
    def error(self) -> float:
        return abs(self.claim - self.true)


def list_changes(remedy: Remedy, run: Spec) -> Iterator[dict[str, Any]]:
    listed = remedy.choices(run) if remedy.choices else [remedy.spec_edit(run)] if remedy.spec_edit else []
    yield from (changes for changes in listed if changes)


def test_edits_of_all_remedies_are_accepted_and_claimed_as_the_step_model_says(capsys):
    """60 drawn specs x every remedy with an edit. Without stages a claim is the model's ratio. The bubble of a pipeline
    is scaled as it was measured, and recomputation costs the forward pass as measured: there the sign is compared."""
    rng, applied, claims = random.Random(SEED), Counter[str](), []
    for _ in range(DRAWS):
        run, profile = draw_spec(rng), draw_profile(rng)
        found = facts_as_predicted(run, profile)
        for remedy in EDITED.values():
            for changes in list_changes(remedy, run):
                if not spec_edits.is_possible(found.spec, changes):
                    continue
                changed = spec_edits.apply_changes(found.spec, changes)
                assert changed != run, remedy.id
                applied[remedy.id] += 1
                gain = predict_gain(found, changed)
                if gain.share is None:
                    assert gain.message, remedy.id
                else:
                    is_exact = run.parallel.stages == 1 and remedy.id not in ("recompute", "no_recompute")
                    true = get_model_gain(run, changed, profile)
                    claims.append(Claimed(remedy.id, changes, gain.share, true, is_exact))
    errors = {
        is_exact: [one.error for one in claims if one.is_exact == is_exact] for is_exact in (True, False)
    }
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(claims)} claims of {len(applied)} remedies: {len(errors[True])} by the model alone, worst "
            f"{100 * max(errors[True]):.1f} points; {len(errors[False])} by measured phases too, median "
            f"{100 * np.median(errors[False]):.1f} points, worst {100 * max(errors[False]):.1f}\n"
        )
    assert set(applied) == set(EDITED), set(EDITED) - set(applied)
    assert max(errors[True]) <= WITHIN, max(claims, key=lambda one: one.error * one.is_exact)
    assert float(np.median(errors[False])) <= WITHIN_MEASURED
    assert not [
        one for one in claims if one.claim * one.true < 0 and max(abs(one.claim), abs(one.true)) > SIGN
    ]


def test_another_trainer_is_claimed_as_the_step_model_says():
    rng, offered = random.Random(SEED), Counter[str]()
    trainers = {name: remedy for name, (_, remedy) in BY_HAND.items() if remedy.trainer}
    assert set(trainers) == {"shard_head", "fewer_launches"}
    for _ in range(DRAWS):
        run, profile = draw_spec(rng), draw_profile(rng)
        shares = compute_shares(facts_as_predicted(run, profile))
        for name, remedy in trainers.items():
            gain = predict_gain_of(shares, run, remedy.trainer)
            true = get_model_gain(run, run, profile, trainer=remedy.trainer)
            near = WITHIN if run.parallel.stages == 1 else 2 * WITHIN_MEASURED
            assert gain.share == pytest.approx(true, abs=near), (name, run.parallel)
            assert (true > 1e-6) <= (name != "shard_head" or run.parallel.tensor > 1)
            offered[name] += true > 0.01
    assert all(offered.values())


@pytest.mark.parametrize("name", BY_HAND)
def test_a_change_by_hand_never_claims_more_than_its_rule_costs(name: str):
    """In every case of the rules, and the whole cost only where all of it goes away."""
    rule, remedy = BY_HAND[name]
    for found in (*CASES.values(), *STATE_CASES.values()):
        verdict = judge(found)
        for proposed in verdict.remedies:
            if proposed.id != name or proposed.gain_share is None:
                continue
            cost = verdict.get_share(proposed.rule)
            if remedy.trainer is None:
                factor = (
                    2.0 if name == "other_devices" else 1.0
                )  # one of two ranks becomes as fast as the other
                assert 0 < proposed.gain_share <= factor * cost + 1e-9
                assert (proposed.message == "at most") == (remedy.removes == 1.0) or name == "balance_stages"
    assert len(remedy.sentence) > 30 and rule.id in BY_ID


def test_parts_of_the_clock_that_stay_are_not_claimed():
    """Drawn clocks: start-ups keep what is no data, validations their outputs, checkpoints their copies."""
    rng = random.Random(SEED)
    for _ in range(40):
        data, imports = rng.uniform(30, 90), rng.uniform(0, 30)
        found = facts({}, {}, clock=clock(data=data, imports=imports))
        claims = _get_claims(found)
        assert claims["prepare_once"] == pytest.approx(data / found.clock.held_s)
        losses, outputs = rng.uniform(3, 9), rng.uniform(0, 9)
        found = facts(
            {}, {}, clock=clock(validation=losses, outputs=outputs), spec=spec(budget={"validate_every": 5})
        )
        assert _get_claims(found)["less_held_out"] == pytest.approx(losses / 2 / found.clock.loop_s)
        waits = rng.uniform(3, 20)
        every = rng.choice((1, 2, 5))
        found = facts({}, {}, clock=clock(checkpoint=waits), spec=spec(budget={"checkpoint_every": every}))
        claim = _get_claims(found).get("faster_storage", 0.0)
        assert 0 <= claim < waits / found.clock.loop_s


def _get_claims(found: Facts) -> dict[str, float]:
    verdict = judge(found)
    assert isinstance(BY_ID[verdict.rules[0]], ClockRule)
    return {one.id: one.gain_share for one in verdict.remedies if one.gain_share is not None}
