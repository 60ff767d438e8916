"""Terminal output against a second implementation, character by character, on random streams."""

from __future__ import annotations

import random
import re

import pytest

from fourwalls.terminal import ROWS_ON_SCREEN, TerminalScreen

SEED, CASES = 29, 400


class PlainTerminal:
    """A grid of characters, without chunks, regions or limits of a line."""

    def __init__(self) -> None:
        self.grid: dict[tuple[int, int], str] = {}
        self.row = self.column = self.last = 0

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            found = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])").match(text, position)
            if found:
                self.command(found[2], found[1])
                position = found.end()
                continue
            letter = text[position]
            position += 1
            if letter == "\n":
                self.row, self.column = self.row + 1, 0
            elif letter == "\r":
                self.column = 0
            elif letter == "\b":
                self.column = max(0, self.column - 1)
            elif letter == "\t":
                for _ in range(8 - self.column % 8):
                    self.put(" ")
            elif letter >= " ":
                self.put(letter)
            self.last = max(self.last, self.row)

    def put(self, letter: str) -> None:
        self.grid[self.row, self.column] = letter
        self.column += 1

    def command(self, name: str, values: str) -> None:
        count = max(1, int(values.split(";")[0] or 1)) if values.split(";")[0].isdigit() or not values else 1
        if name == "A":
            self.row = max(self.top(), self.row - count)
        elif name == "B":
            self.row += count
        elif name == "C":
            self.column += count
        elif name == "D":
            self.column = max(0, self.column - count)
        elif name == "G":
            self.column = count - 1
        elif name == "K":
            which = int(values or 0)
            for row, column in list(self.grid):
                is_right, is_left = column >= self.column, column <= self.column
                if row == self.row and (which == 2 or (which == 0 and is_right) or (which == 1 and is_left)):
                    del self.grid[row, column]
        elif name == "J" and not values:
            for row, column in list(self.grid):
                if row > self.row or (row == self.row and column >= self.column):
                    del self.grid[row, column]
        self.last = max(self.last, self.row)

    def top(self) -> int:
        return max(0, self.last + 1 - ROWS_ON_SCREEN)

    def lines(self) -> list[str]:
        rows: list[str] = []
        for row in range(self.last + 1):
            own = {column: letter for (at, column), letter in self.grid.items() if at == row}
            rows.append("".join(own.get(column, " ") for column in range(max(own, default=-1) + 1)).rstrip())
        return rows


def random_stream(draw: random.Random) -> str:
    words = ["step 7/100", "loss=0.25", " ", "é", "漢字", "100%|████", "x" * 30]
    moves = ["\x1b[A", "\x1b[2A", "\x1b[B", "\x1b[3C", "\x1b[2D", "\x1b[5G"]
    erasures = ["\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[J"]
    others = ["\x1b[31m", "\x1b[0m", "\x1b[1;32m", "\x1b[?25l", "\x07"]
    controls = ["\n", "\n", "\r", "\r", "\b", "\t", "\r\n", *moves, *erasures, *others]
    return "".join(
        draw.choice(words if draw.random() < 0.5 else controls) for _ in range(draw.randint(1, 120))
    )


def shown(chunks: list[str], take_each: bool) -> list[str]:
    screen, lines = TerminalScreen(), []
    for chunk in [*chunks, ""]:
        screen.feed(chunk)
        if (take_each or chunk == "") and (changes := screen.take_changes()):
            first, new = changes
            lines[first:] = new
    return lines or [""]


@pytest.mark.parametrize("take_each", [True, False])
def test_random_streams_are_shown_as_by_a_plain_terminal(take_each):
    draw = random.Random(SEED)
    for number in range(CASES):
        text = random_stream(draw)
        cuts = sorted(draw.randint(0, len(text)) for _ in range(draw.randint(0, 8)))
        chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        plain = PlainTerminal()
        plain.feed(text)
        assert shown(chunks, take_each) == plain.lines(), (number, text, chunks)


def test_a_progress_bar_stays_one_line():
    bar = "".join(f"\r{number:3}%|{'#' * (number // 10):10}|" for number in range(101))
    assert shown([bar, "\ndone\n"], True) == ["100%|##########|", "done", ""]


def test_a_title_and_strings_for_devices_are_left_out():
    assert shown(["a\x1b]0;my ti", "tle\x07b\x1b]2;x\x1b\\c\x1bPq#0\x1b\\d"], False) == ["abcd"]


def test_lines_that_left_the_screen_are_final():
    screen = TerminalScreen()
    screen.feed("\n".join(str(number) for number in range(1000)))
    first, lines = screen.take_changes()
    assert (first, len(lines)) == (0, 1000)
    screen.feed("\r\x1b[999Atop")
    first, lines = screen.take_changes()
    assert first == 1000 - ROWS_ON_SCREEN and lines[0].startswith("top")
    assert len(screen.lines) == ROWS_ON_SCREEN
