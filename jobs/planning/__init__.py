"""Plans of jobs, device profiles, links and calibration."""
