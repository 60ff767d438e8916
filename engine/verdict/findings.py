"""The losses of a step as findings: how much each costs, how severe that is, and the figures behind it."""

from __future__ import annotations

from engine.verdict import phrases
from engine.verdict.facts import NEEDED, Facts
from engine.verdict.results import Evidence, Finding
from engine.verdict.rules import IMBALANCED, LOSSES, NOTABLE, RULES, STRONG, UNTOLD
from engine.verdict.shares import Shares

PERSISTENT = 0.6  # share of the steps in which one rank is the slowest, so that it can be named


def losses_of(facts: Facts, shares: Shares) -> tuple[Finding, ...]:
    """The greatest first; a pipeline's rule is left out where there is no pipeline."""
    wanted = [rule for rule in LOSSES if rule.id in shares.seconds]
    found = [_finding(rule.id, facts, shares) for rule in wanted]
    return tuple(sorted(found, key=lambda finding: -finding.share))


def doubts(facts: Facts, shares: Shares) -> tuple[str, ...]:
    """Why none of these may be called strong: something that was not told could be the greater loss."""
    said = []
    if len(facts.ranks) < facts.world_size:
        said.append(f"{len(facts.ranks)} of {facts.world_size} ranks have told where their time went.")
    untold = {name for rank in facts.ranks for name in NEEDED if name not in rank.phases}
    if untold:
        said.append(f"Not every rank has told {', '.join(sorted(untold))}.")
    if shares.untold_s / shares.step_s >= UNTOLD:
        said.append(f"{phrases.share(shares.untold_s / shares.step_s)} of the step stands in no phase.")
    return tuple(said)


def _finding(rule_id: str, facts: Facts, shares: Shares) -> Finding:
    rule, share = RULES[rule_id], shares.share(rule_id)
    severity = phrases.severity(share, NOTABLE, STRONG)
    if severity == "strong" and doubts(facts, shares):
        severity = "notable"
    sentence = rule.sentence.format(
        share=phrases.share(share), stages=facts.stages, micro_batches=facts.micro_batches,
        who=_who(shares) if rule_id == "imbalance" else "",
    )  # fmt: skip
    own = Evidence(
        rule.title, share, "share", "derived",
        f">= {phrases.share(NOTABLE)}; strong above {phrases.share(STRONG)}", rule.formula,
    )  # fmt: skip
    more = _MORE[rule_id](facts, shares) if rule_id in _MORE else ()
    return Finding(
        rule.id, rule.limit, rule.title, share, shares.seconds[rule_id], severity, sentence, (own, *more)
    )


def _who(shares: Shares) -> str:
    slowest = shares.slowest
    if slowest is None or slowest.ratio <= 1.02 or slowest.steps_share < PERSISTENT:
        return ": now this one, now that one"
    return f": {slowest.kind} {slowest.number} takes {slowest.ratio:.2f} x the mean time"


def _of_input(facts: Facts, shares: Shares) -> tuple[Evidence, ...]:
    return tuple(
        _seconds(f"Data wait, rank {rank.rank}", float(rank.phases["data_wait_s"].mean()))
        for rank in facts.ranks[:8]
        if "data_wait_s" in rank.phases
    )


def _of_communication(facts: Facts, shares: Shares) -> tuple[Evidence, ...]:
    waits = [
        _seconds(f"In collectives, rank {rank.rank}", float(rank.phases["communication_s"].mean()))
        for rank in facts.ranks[:8]
        if "communication_s" in rank.phases
    ]
    payloads = [rank.payload_bytes for rank in facts.ranks if rank.payload_bytes]
    if payloads:
        mean, seconds = sum(payloads) / len(payloads), shares.seconds["communication"]
        waits.append(
            Evidence("Payload of a rank and step", mean, "bytes", "measured", "", "collective_bytes")
        )
        if seconds > 0:
            rate = mean / seconds
            waits.append(
                Evidence("Payload over exposed time", rate, "bytes_per_s", "derived", "", "payload / exposed")
            )
    return tuple(waits)


def _of_bubble(facts: Facts, shares: Shares) -> tuple[Evidence, ...]:
    told = shares.bubble_is_measured
    return (
        Evidence("(p - 1) / (m + p - 1)", shares.bubble_expected_share, "share", "derived", "",
                 f"p = {facts.stages}, m = {facts.micro_batches}"),
        Evidence("Idle in the pipeline", shares.idle_share, "share", "measured" if told else "absent",
                 f"within {IMBALANCED} x of the line above; more is imbalance", "bubble_s, mean over the ranks",
                 "" if told else "its ranks have not told bubble_s; derived from stage times"),
    )  # fmt: skip


def _of_imbalance(facts: Facts, shares: Shares) -> tuple[Evidence, ...]:
    slowest = shares.slowest
    if slowest is None:
        return ()
    return (
        Evidence(f"{slowest.kind.capitalize()} {slowest.number} over the mean", slowest.ratio, "", "derived", "",
                 f"max / mean of {slowest.kind} times, data wait left out"),
        Evidence("Steps in which it is the slowest", slowest.steps_share, "share", "derived",
                 f">= {phrases.share(PERSISTENT)} to be named", ""),
    )  # fmt: skip


def _of_host(facts: Facts, shares: Shares) -> tuple[Evidence, ...]:
    return tuple(
        _seconds(f"{title}, rank {rank.rank}", float(rank.phases[name].mean()))
        for rank in facts.ranks[:8]
        for name, title in (("other_s", "Outside the phases"), ("host_gap_s", "Host gaps"))
        if name in rank.phases
    )


_MORE = {
    "input": _of_input,
    "communication": _of_communication,
    "bubble": _of_bubble,
    "imbalance": _of_imbalance,
    "host": _of_host,
}


def _seconds(figure: str, value: float) -> Evidence:
    return Evidence(figure, value, "s", "measured", "", "mean of the steady steps")
