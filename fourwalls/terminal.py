"""Lines that a terminal shows after a stream of text with carriage returns and escape sequences."""

from __future__ import annotations

import re
from typing import Optional

ROWS_ON_SCREEN = 200  # the cursor moves no higher above the last line
LINE_CHARS = 4_000
ESCAPE = re.compile(
    r"\x1b\[(?P<values>[0-?]*)[ -/]*(?P<command>[@-~])"  # control sequence (ECMA-48, 5.4)
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # operating system command, such as a title
    r"|\x1b[PX^_].*?\x1b\\"  # strings for devices
    r"|\x1b[ -/]*[0-Z\\^-~]",  # of two characters or with intermediates
    re.DOTALL,
)
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)?$")
SPECIAL = re.compile(r"[\x00-\x1f\x7f]")
LONGEST_PENDING = 1_000


class TerminalScreen:
    """The text that was printed, by line. Colours are left out."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.first_row = 0  # number of lines[0]; earlier ones were taken and cannot change
        self._row = self._column = 0  # of the cursor; rows count from first_row
        self._changed: Optional[int] = None
        self._is_empty = True
        self._pending = ""

    def feed(self, text: str) -> None:
        if self._is_empty and text:
            self._is_empty = False
            self._mark(0)
        text = self._pending + text
        self._pending = ""
        if found := UNFINISHED.search(text[-LONGEST_PENDING:]):
            start = max(0, len(text) - LONGEST_PENDING) + found.start()
            text, self._pending = text[:start], text[start:]
        position = 0
        while position < len(text):
            special = SPECIAL.search(text, position)
            end = special.start() if special else len(text)
            if end > position:
                self._write(text[position:end])
            if special is None:
                return
            position = self._control(text, end)

    def take_changes(self) -> Optional[tuple[int, list[str]]]:
        """The number of the first line that has changed, and all lines from it on; None without a change. Lines that
        have left the screen are forgotten."""
        if self._changed is None:
            return None
        first, lines = self.first_row + self._changed, self.lines[self._changed :]
        self._changed = None
        surplus = min(len(self.lines) - ROWS_ON_SCREEN, self._row)
        if surplus > 0:
            del self.lines[:surplus]
            self.first_row += surplus
            self._row -= surplus
        return first, [line.rstrip() for line in lines]

    def _control(self, text: str, position: int) -> int:
        """Do what the control character at `position` asks for; returns the position behind it."""
        letter = text[position]
        if letter == "\x1b":
            found = ESCAPE.match(text, position)
            if not found:
                return position + 1
            if found["command"]:
                self._command(found["command"], found["values"])
            return found.end()
        if letter == "\n":
            self._move_to_row(self._row + 1)
            self._column = 0
        elif letter == "\r":
            self._column = 0
        elif letter == "\b":
            self._column = max(0, self._column - 1)
        elif letter == "\t":
            self._write(" " * (8 - self._column % 8))
        return position + 1

    def _command(self, command: str, values: str) -> None:
        numbers = [int(one) if one.isdigit() else None for one in values.lstrip("?><=").split(";")]
        count = min(max(1, numbers[0] or 1), 10_000)
        if command == "A":
            self._move_to_row(self._row - count)
        elif command in "BE":
            self._move_to_row(self._row + min(count, ROWS_ON_SCREEN))
        elif command == "F":
            self._move_to_row(self._row - count)
        elif command == "C":
            self._column = min(LINE_CHARS, self._column + count)
        elif command == "D":
            self._column = max(0, self._column - count)
        elif command == "G":
            self._column = count - 1
        elif command in "Hf":
            self._move_to_row(self._top() + count - 1)
            self._column = min(LINE_CHARS, (numbers[1] if len(numbers) > 1 and numbers[1] else 1) - 1)
        elif command in "KJ":
            self._erase(command, numbers[0] or 0)
        if command in "EF":
            self._column = 0

    def _erase(self, command: str, which: int) -> None:
        line = self.lines[self._row]
        if which == 0:
            self._set_line(line[: self._column])
        elif which == 1:
            self._set_line(" " * min(self._column + 1, len(line)) + line[self._column + 1 :])
        else:
            self._set_line("")
        if command == "J" and which != 1:
            first = self._row + 1 if which == 0 else self._top()
            for row in range(first, len(self.lines)):
                if self.lines[row]:
                    self.lines[row] = ""
                    self._mark(row)

    def _write(self, text: str) -> None:
        line = self.lines[self._row]
        if len(line) < self._column:
            line = line.ljust(self._column)
        end = self._column + len(text)
        self._set_line((line[: self._column] + text + line[end:])[:LINE_CHARS])
        self._column = min(end, LINE_CHARS)

    def _set_line(self, line: str) -> None:
        if line != self.lines[self._row]:
            self.lines[self._row] = line
            self._mark(self._row)

    def _move_to_row(self, row: int) -> None:
        self._row = max(row, self._top())
        while self._row >= len(self.lines):
            self.lines.append("")
            self._mark(len(self.lines) - 1)

    def _top(self) -> int:
        return max(0, len(self.lines) - ROWS_ON_SCREEN)

    def _mark(self, row: int) -> None:
        self._changed = row if self._changed is None else min(self._changed, row)
