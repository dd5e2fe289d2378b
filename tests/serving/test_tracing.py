"""Laws of traces: a collector gets a span for each request, and nothing that was sent."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from serving.tracing import TracingAbsent, traced


async def _yes(request: Request) -> PlainTextResponse:
    return PlainTextResponse("yes")


app = Starlette(routes=[Route("/v1/quotes/{quote_id}", _yes)])


class Collector(BaseHTTPRequestHandler):
    got: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_collector_gets_spans_without_what_was_sent() -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        whole: Any = traced(app, collector=f"http://127.0.0.1:{server.server_port}/v1/traces")
        with TestClient(whole) as client:
            told = client.get("/v1/quotes/canary-7131?q=canary-7131", headers={"User-Agent": "canary-7131"})
        assert told.text == "yes"
        whole.tracer.span_processor.force_flush()
        server.shutdown()
    sent = b"".join(Collector.got)
    assert b"reprise" in sent and b"GET" in sent
    assert b"canary" not in sent


def test_without_a_collector_nothing_is_put_around_the_application() -> None:
    assert traced(app, collector="") is app


def test_a_collector_without_the_libraries_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    with pytest.raises(TracingAbsent, match="tracing"):
        traced(app, collector="http://127.0.0.1:1/v1/traces")
