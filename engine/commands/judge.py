"""Command `judge`: the verdict of an attempt folder."""

from __future__ import annotations

from engine.commands.plan import find_profile
from engine.commands.tables import format_percent, format_s, format_table, write, write_json
from engine.directory import AttemptDirectory
from engine.verdict.attempt_facts import read_attempt_facts
from engine.verdict.facts import Facts
from engine.verdict.judge import judge
from engine.verdict.results import Verdict, to_json

EXIT_JUDGED, EXIT_NOTHING = 0, 1


def run_judge(directory: AttemptDirectory, is_json: bool, device: str | None = None) -> int:
    """Print the verdict. Raises engine.verdict.attempt_facts.NoAttempt, and SpecError for an unknown device."""
    facts = read_attempt_facts(directory, find_profile(device) if device else None)
    verdict = judge(facts)
    if is_json:
        write_json(to_json(verdict))
    else:
        write("\n\n".join((*_sections(verdict), *_list_gaps(facts))))
    return EXIT_NOTHING if verdict.nothing else EXIT_JUDGED


def _list_gaps(facts: Facts) -> list[str]:
    """What the folder does not have, beside a verdict."""
    if facts.nothing or facts.profile is not None:
        return []
    return [
        "The folder has no speeds of its devices, so what depends on them is judged by typical ones. "
        "--device NAME takes those of a data sheet."
    ]


def _sections(verdict: Verdict) -> list[str]:
    states = [f"{state.title}: {state.sentence}" for state in verdict.states]
    if verdict.nothing:
        return [f"No verdict: {verdict.nothing}", *states]
    sections = [
        f"{verdict.name}{f' ({verdict.severity})' if verdict.severity else ''}: {verdict.sentence}\n"
        f"Judged on {verdict.num_steps} steady steps, {verdict.first_step} to {verdict.last_step}, "
        f"of {format_s(verdict.step_s or 0.0)} each.",
        format_table(
            ("of a step", "share", "time", "severity"),
            [
                (finding.title, format_percent(finding.share), format_s(finding.seconds), finding.severity)
                for finding in verdict.findings
            ],
        ),
    ]
    if verdict.provisional:
        sections.append("Provisional:\n" + "\n".join(f"- {reason}" for reason in verdict.provisional))
    if states:
        sections.append("\n".join(states))
    if verdict.remedies:
        sections.append(
            format_table(
                ("remedy", "saves", "changes"),
                [
                    (
                        remedy.title, format_percent(remedy.gain_share) or "unknown",
                        ", ".join(f"{path}={value}" for path, value in remedy.changes.items()),
                    )
                    for remedy in verdict.remedies
                ],
            )
        )  # fmt: skip
    return sections
