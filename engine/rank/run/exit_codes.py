"""Exit codes of a rank, in addition to those of engine.directory."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_DIVERGED = 76  # training has diverged
