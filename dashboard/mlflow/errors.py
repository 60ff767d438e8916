"""MLflow's error codes with the HTTP statuses that its clients expect."""

from __future__ import annotations

from django.http import HttpResponse

from dashboard.server.replies import json_reply

STATUS = {
    "INVALID_PARAMETER_VALUE": 400,
    "BAD_REQUEST": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "RESOURCE_EXHAUSTED": 413,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "TEMPORARILY_UNAVAILABLE": 503,  # clients try again
}


class MlflowError(Exception):
    """A refused request; `code` is one of STATUS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def response(self) -> HttpResponse:
        body = {"error_code": self.code, "message": str(self)}
        response = json_reply(body, STATUS[self.code])
        if self.code == "UNAUTHENTICATED":
            response["WWW-Authenticate"] = 'Basic realm="Fourwalls"'
        return response


def code_of_status(status: int) -> str:
    """The code of a plain HTTP status."""
    codes = {404: "ENDPOINT_NOT_FOUND"} | {status: code for code, status in reversed(STATUS.items())}
    return codes.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")


def invalid(message: str) -> MlflowError:
    return MlflowError("INVALID_PARAMETER_VALUE", message)


def not_found(message: str) -> MlflowError:
    return MlflowError("RESOURCE_DOES_NOT_EXIST", message)
