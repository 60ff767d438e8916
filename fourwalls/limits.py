"""Limits of points and parameters, copied from the server.

The client imports nothing of the server; tests/fourwalls/test_limits.py compares the two.
"""

METRIC_CHARS = 250  # characters of a metric name
SOURCE_CHARS = 80  # characters after `device:` or `host:`
NO_STEP = -(2**63)  # marks a point without a step
FIRST_STEP, LAST_STEP = NO_STEP + 1, 2**63 - 1
END_S = 253_402_300_800  # unix time at which the year 10000 begins; times are in [0, END_S)
PARAM_CHARS = 6000  # characters of a parameter's value; longer ones are cut
