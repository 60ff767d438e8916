"""Limits of points, parameters, tags and ids, copied from the server.

The client imports nothing of the server; tests/fourwalls/test_limits.py compares the two.
"""

import re

METRIC_CHARS = 250  # characters of a metric name
SOURCE_CHARS = 80  # characters after `device:` or `host:`
NO_STEP = -(2**63)  # marks a point without a step
FIRST_STEP, LAST_STEP = NO_STEP + 1, 2**63 - 1
END_S = 253_402_300_800  # unix time at which the year 10000 begins; times are in [0, END_S)
KEY_CHARS = 250  # characters of the name of a run, project, parameter or tag; longer ones are cut
PARAM_CHARS = 6000  # characters of a parameter's value; longer ones are cut
TAG_CHARS = 8000  # characters of a tag's value; longer ones are cut
NOTE_CHARS = 20_000
PATH_CHARS = 500  # characters of the name of a saved file
REQUEST_PARAMS = 10_000  # parameters of one request
REQUEST_TAGS = 1_000
RUN_ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,64}")  # an id that the user chooses
