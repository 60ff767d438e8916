"""The parts of a supervisor: device locks, rank processes, blame, the sweep afterwards, its reports."""
