"""Runs of other trackers brought in: readers of their files, and the one function that stores what they read."""

from jobs.imports.foreign import ForeignRun, ImportRefused, Part
from jobs.imports.take import Taken, left_out_in_words, link, take

__all__ = ["ForeignRun", "ImportRefused", "Part", "Taken", "left_out_in_words", "link", "take"]
