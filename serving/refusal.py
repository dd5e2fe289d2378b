"""Answers other than yes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from serving import asks

MOST_ERRORS = 20


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """An answer other than yes: becomes problem+json (RFC 9457). `detail` never repeats what was sent."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more
        self.errors = list(errors)[:MOST_ERRORS]
        self.headers = dict(headers or {})

    def response(self, *, request_id: str) -> Response:
        """Write it as application/problem+json."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": self.errors,
            "request_id": request_id,
            **self.more,
        }
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return Response(body, self.status, self.headers, media_type="application/problem+json")


def malformed(error: RequestValidationError) -> Refusal:
    """What is wrong with a request, field by field, without a word of what it said."""
    faults = error.errors()
    if any(fault["loc"] == ("header", "Idempotency-Key") and fault["type"] == "missing" for fault in faults):
        detail = "Send an Idempotency-Key header, fresh for each quote that is wanted."
        return Refusal(400, "idempotency_key_missing", detail)
    errors = [{"field": _field(fault["loc"]), "title": _title(fault)} for fault in faults]
    return Refusal(422, "malformed", "Some fields cannot be taken as they are.", errors=errors)


def _field(path: tuple[int | str, ...]) -> str:
    return (
        ".".join(str(part) for part in path[1:] if isinstance(part, int) or part.lower() in asks.FIELDS)
        or "body"
    )


def _title(fault: dict[str, Any]) -> str:
    return "a field here is not known" if fault["type"] == "extra_forbidden" else str(fault["msg"])
