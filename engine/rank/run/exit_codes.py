"""Exit codes of a rank, in addition to EXIT_STOPPED and EXIT_LATE of engine.directory."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_DIVERGED = 76  # training has diverged
