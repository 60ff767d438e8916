"""Device peaks, probe results and fabric measurements."""
