"""Answers other than yes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response

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
