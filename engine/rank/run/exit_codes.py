"""How a rank's process ends, beside EXIT_STOPPED and EXIT_LATE of the attempt directory."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_DIVERGED = 76  # the loss is not a number any more
