"""Part of a run that describes it: names, configuration, summary, tags, definitions and alerts."""

from __future__ import annotations

import fnmatch
import logging
import re
import time
from collections.abc import Iterable
from typing import Any

from fourwalls import description, limits, values
from fourwalls.run_config import Config
from fourwalls.run_summary import Summary
from fourwalls.saving_run import SavingRun

log = logging.getLogger("fourwalls")
Rows = list[tuple[int, dict[str, Any]]]


class DescribedRun(SavingRun):
    """Description of a run, by the names that scripts use."""

    config: Config
    summary: Summary
    project = entity = group = job_type = ""
    sweep_id = None
    _name = _notes = ""
    _given_tags: tuple[str, ...] = ()
    _definitions: tuple[tuple[re.Pattern[str], str], ...] = ()
    _alerted: dict[str, float]

    @property
    def name(self) -> str:
        return self._name or f"{self.project or 'run'}-{self.id[:4]}"

    @name.setter
    def name(self, text: Any) -> None:
        self._name = values.clean_text(text, limits.KEY_CHARS)
        if self._name.strip():
            self._queue_message("change", {"name": self._name})

    display_name = name

    @property
    def notes(self) -> str:
        return self._notes

    @notes.setter
    def notes(self, text: Any) -> None:
        self.note(str(text))

    @property
    def tags(self) -> tuple[str, ...]:
        return self._given_tags

    @tags.setter
    def tags(self, given: Iterable[Any]) -> None:
        new = [str(one) for one in ([given] if isinstance(given, str) else given)]
        removed = [one for one in self._given_tags if one not in new]
        self._given_tags = tuple(new)
        self._queue_message("tags", description.texts(dict.fromkeys(new, "")))
        if removed:
            self._queue_message("drop_tags", {"drop": removed})

    @property
    def url(self) -> str:
        raise NotImplementedError

    def get_url(self) -> str:
        return self.url

    @property
    def path(self) -> str:
        return "/".join(part for part in (self.entity, self.project, self.id) if part)

    def tag(self, **tags: Any) -> None:
        """Set tags; the newest value of each is kept."""
        self._queue_message("tags", description.texts(tags))

    def params(self, config: Any) -> None:
        """Add parameters; existing ones keep their values."""
        self._queue_message("params", description.params(config))

    def note(self, text: str) -> None:
        self._notes = values.clean_text(text, limits.NOTE_CHARS)
        self._queue_message("change", {"note": self._notes})

    def alert(self, title: str, text: str = "", level: Any = None, wait_duration: Any = None) -> None:
        """Record an alert with the run; the same title again only after `wait_duration` (seconds or timedelta)."""
        wait_s = getattr(wait_duration, "total_seconds", lambda: wait_duration or 0)()
        now_s = time.monotonic()
        alerted = self.__dict__.setdefault("_alerted", {})
        if now_s - alerted.get(title, -1e9) < wait_s:
            return
        alerted[title] = now_s
        level = str(getattr(level, "value", level) or "INFO").upper()
        alert = {
            "title": values.clean_text(title, limits.KEY_CHARS) or "Alert",
            "text": values.clean_text(text, limits.TAG_CHARS),
            "level": level if level in ("INFO", "WARN", "ERROR") else "INFO",
        }
        self._queue_message("alert", alert)

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: Any = None,
        hidden: Any = None,
        summary: Any = None,
        goal: Any = None,
        overwrite: Any = None,
    ) -> DescribedRun:
        """Metrics that `name` matches (`val/*`) take their step from the newest value of `step_metric` where it is a
        whole number of at least 0. The server keeps minimum, maximum and last of every metric, so `summary` and `goal`
        change nothing."""
        del step_sync, hidden, summary, goal, overwrite
        if step_metric is not None:
            pattern = re.compile(fnmatch.translate(str(name)))
            self._definitions = (
                (pattern, str(getattr(step_metric, "name", step_metric))),
                *self._definitions,
            )
        return self

    def watch(
        self, models: Any, criterion: Any = None, log: Any = "gradients", log_freq: int = 1000, **_: Any
    ) -> None:
        """Log histograms of gradients, parameters or both of a PyTorch model each `log_freq` backward passes."""
        from fourwalls import model_watcher

        del criterion
        model_watcher.watch(self, models, str(log), int(log_freq))  # type: ignore[arg-type]

    def unwatch(self, models: Any = None) -> None:
        from fourwalls import model_watcher

        model_watcher.unwatch(models)

    def mark_preempting(self) -> None:
        self.tag(preempting="true")

    def _describe(self, given: dict[str, Any]) -> None:
        """Take what init() was given."""
        self.project, self.group = given["project"], given["group"]
        self.job_type, self.entity = given["job_type"], given["team"]
        self._name, self._notes = given["name"], given["note"]
        tags = given["tags"] or ()
        self._given_tags = (tags,) if isinstance(tags, str) else tuple(str(one) for one in tags)
        self.start_time = time.time()
        self.config = Config(
            given["config"], lambda new: self._queue_message("config", description.params(new))
        )
        self.summary = Summary(lambda: self._writer, self._send_summary)

    def _send_summary(self, new: dict[str, Any]) -> None:
        """Numbers as a point of a metric that the script does not log, texts as tags."""
        writer = self._writer
        numbers, _ = values.to_numbers(new)
        texts = {f"summary.{name}": text for name, text in new.items() if isinstance(text, (str, bool))}
        if numbers and writer:
            logged = writer.read_newest().keys() - self.__dict__.setdefault("_summary_names", set())
            named = {f"summary/{name}" if name in logged else name: one for name, one in numbers.items()}
            self._summary_names |= named.keys()  # type: ignore[attr-defined]
            writer.queue.append((max(self._step - 1, 0), time.time_ns() // 1000, named, self.source))
        if texts:
            self._queue_message("tags", description.texts(texts))

    def _divide_by_step(self, step: int, row: dict[str, Any]) -> Rows:
        """The rows of one log() call by the steps that definitions give them."""
        newest = self.__dict__.setdefault("_step_values", {})
        newest.update({name: row[name] for _, name in self._definitions if name in row})
        rows: dict[int, dict[str, Any]] = {}
        for name, value in row.items():
            own = next((metric for pattern, metric in self._definitions if pattern.match(name)), name)
            number = newest.get(own) if own != name or own in newest else None
            is_step = number is not None and number >= 0 and number == int(number)
            rows.setdefault(int(number) if is_step and number is not None else step, {})[name] = value
        return list(rows.items())
