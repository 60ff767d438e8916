"""Scopes that the operations of the API and of MLflow's API need."""

from __future__ import annotations

from jobs.models.people import TokenScope

READING = ("GET", "HEAD", "OPTIONS")
RANKS = {scope: rank for rank, scope in enumerate(TokenScope)}
# POST operations that change nothing, by the end of their path
READS = ("/search", "/preview", "/get-history", "/get-history-bulk", "/experiments/list", "/batch-get")
# The longest start that fits counts; what is on no line needs everything.
STARTS = {
    "/api/v1/runs": TokenScope.LOG,
    "/api/v1/jobs": TokenScope.SUBMIT,
    "/api/v1/sweeps": TokenScope.SUBMIT,
    "/api/v1/templates": TokenScope.SUBMIT,
    "/api/v1/datasets": TokenScope.SUBMIT,
    "/api/v1/projects": TokenScope.SUBMIT,
    "/api/v1/bin": TokenScope.SUBMIT,
    "/api/2.0/mlflow": TokenScope.LOG,
    "/ajax-api/2.0/mlflow": TokenScope.LOG,
}
VERDICT_CHECK = "/verdict/check"  # below a run, and starts a job


def needed_scope(method: str, path: str) -> TokenScope:
    """The least scope of a token for this operation."""
    if method in READING or path.rstrip("/").endswith(READS):
        return TokenScope.READ
    if path.endswith(VERDICT_CHECK):
        return TokenScope.SUBMIT
    starts = [start for start in STARTS if path == start or path.startswith((f"{start}/", f"{start}-"))]
    return STARTS[max(starts, key=len)] if starts else TokenScope.ADMIN


def find_refusal(scope: str, method: str, path: str) -> str:
    """The sentence for a token that may not do this; '' for one that may."""
    needed = needed_scope(method, path)
    if RANKS[TokenScope(scope)] >= RANKS[needed]:
        return ""
    return (
        f"This token has the scope '{scope}'; this needs '{needed}'. "
        "Create such a token on your account page, if you may do this yourself."
    )
