"""Traces for OpenTelemetry, where the extra `tracing` is installed and the operator names a collector."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp


class TracingAbsent(RuntimeError):  # noqa: N818 - said as it is
    """A collector is named, and the libraries are not there."""


def traced(app: ASGIApp, *, collector: str) -> ASGIApp:
    """The application with a span for each request, sent to a collector such as http://127.0.0.1:4318/v1/traces.

    A span holds method, route and status; headers, queries and bodies are left out, as they are of logs. Without a
    collector it is the application itself. Raises TracingAbsent.
    """
    if not collector:
        return app
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingAbsent(
            f"REPRISE_TRACES names a collector, but {error.name} is not installed: pip install "
            "reprise-valuation[tracing], or leave it out."
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "reprise"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector)))
    return OpenTelemetryMiddleware(
        app, tracer_provider=provider, server_request_hook=_forget, exclude_spans=["receive", "send"]
    )


def _forget(span: Any, scope: Any) -> None:
    """Leave out what was sent: whole addresses have queries, and these have what people typed."""
    for name in (
        "http.target",
        "http.url",
        "url.full",
        "url.query",
        "http.user_agent",
        "user_agent.original",
        "url.path",
        "net.peer.ip",
        "client.address",
    ):
        span.set_attribute(name, "")
    span.update_name(scope["method"])  # a path can hold the id of a quote
