"""What may help against each limit, in the order in which it is worth trying, with what it should save."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from engine.spec.spec import SpecError, parse
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.results import Remedy, Verdict
from engine.verdict.rules import RULES
from engine.verdict.spec_edits import Knob
from engine.verdict.whatif import Gain, gain_of


@dataclass(frozen=True)
class Idea:
    id: str
    title: str
    sentence: str
    knob: Knob = spec_edits.nothing


IDEAS: dict[str, Idea] = {
    idea.id: idea
    for idea in (
        Idea("faster_data", "Feed it faster", "Faster storage, more readers, or text that is tokenised before the run."),
        Idea("lower_zero", "Lower ZeRO stage", "Fewer gathers and reductions, for more memory a device.", spec_edits.lower_zero),
        Idea("accumulate", "Twice the global batch", "What happens once a step is spread over twice the tokens. The training itself changes: the learning rate may have to follow.", spec_edits.larger_batch),
        Idea("larger_micro_batch", "Larger micro-batch", "Fewer, larger pieces: less work of the host, for more memory a device. The same updates.", spec_edits.larger_micro_batch),
        Idea("smaller_micro_batch", "Smaller micro-batch", "More pieces fill the pipeline better and need less memory. The same updates.", spec_edits.smaller_micro_batch),
        Idea("fewer_stages", "Half the stages", "A shorter pipeline, and copies of the model on the devices it gives free, for more memory a device.", spec_edits.fewer_stages),
        Idea("less_tensor", "Half the tensor parallel ranks", "Fewer reductions inside each layer, and copies of the model in their place, for more memory a device.", spec_edits.less_tensor),
        Idea("faster_link", "Faster link", "Ranks of one gang on one node, or a faster network between nodes."),
        Idea("other_devices", "Look at the slow rank's device", "A busy host, a throttled or an ill device makes all others wait."),
        Idea("balance_stages", "Balance the stages", "The first stage also embeds, the last one also has the head: a smaller vocabulary or a number of layers that spreads evenly helps."),
        Idea("raise_power", "Raise the power limit", "If cooling allows; a lower limit is often better per joule, so look at tokens per joule first."),
        Idea("cooling", "Cool it", "Inlet temperature, fans, and what else is in the rack."),
        Idea("recompute", "Recompute activations", "Most activations are not kept but made again in the backward pass.", spec_edits.recompute),
        Idea("higher_zero", "Higher ZeRO stage", "Optimiser state, gradients, then parameters are shared out over the data ranks.", spec_edits.higher_zero),
        Idea("offload", "Offload the optimiser", "Its state lives in host memory.", spec_edits.offload),
        Idea("no_recompute", "Keep activations", "Nothing is made again in the backward pass, for more memory a device.", spec_edits.no_recompute),
        Idea("half_precision", "Half precision", "bf16 doubles what tensor cores do and halves what memory has to carry, on devices that are fast at it.", spec_edits.half_precision),
        Idea("better_shapes", "Better shapes", "Widths and vocabularies in multiples of 64 fill tensor cores."),
        Idea("faster_device", "Faster or more devices", "This run uses what it has."),
    )
}  # fmt: skip


def added(verdict: Verdict, facts: Facts) -> Verdict:
    """The verdict with remedies for its winners, then for the states beside it; each idea once."""
    found: dict[str, Remedy] = {}
    for rule_id in (*verdict.rules, *(state.rule for state in verdict.states)):
        for remedy in _of(rule_id, verdict, facts):
            found.setdefault(remedy.id, remedy)
    return msgspec.structs.replace(verdict, remedies=tuple(found.values()))


def _of(rule_id: str, verdict: Verdict, facts: Facts) -> Iterator[Remedy]:
    try:
        spec = parse(facts.spec)
    except SpecError:
        return
    for name in RULES[rule_id].remedies:
        idea = IDEAS[name]
        changes = idea.knob(spec)
        if changes is None or (name == "half_precision" and facts.on_cpu):
            continue
        if changes and not spec_edits.works(facts.spec, changes):
            continue
        gain = _gain(rule_id, changes, verdict, facts)
        yield Remedy(
            idea.id, rule_id, idea.title, idea.sentence, changes, gain.share,
            "derived" if gain.share is not None else "absent", gain.said,
        )  # fmt: skip


def _gain(rule_id: str, changes: spec_edits.Changes, verdict: Verdict, facts: Facts) -> Gain:
    if changes:
        return gain_of(facts, spec_edits.changed(facts.spec, changes))
    share = verdict.share_of(rule_id)
    if rule_id == "compute":
        return Gain(None, "no field of a spec says it")
    return Gain(share, "at most") if share else Gain(None, "it costs no share of the step by itself")
