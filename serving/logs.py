"""Logs: one JSON line an event on standard error, uvicorn's and other libraries' included.

An exception is told by its kinds and the places in the code that it went through. Its words are left out: they can
hold what a customer sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

import structlog
from structlog.typing import EventDict, Processor


def configure() -> None:
    """Send everything from INFO up of our own, and from WARNING up of others, to standard error as JSON."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_words,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(  # without the standard library's loggers, which take three times as long
        processors=[*shared, structlog.processors.JSONRenderer()],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """Writes lines to standard error, whatever that is at the time; one write a line, so that none is torn.

    A line that cannot be written is lost: a full disk of logs stops nothing else.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


def _without_words(_: object, __: str, event: EventDict) -> EventDict:
    told = event.pop("exc_info", None)
    if told is True:
        told = sys.exc_info()
    error = told[1] if isinstance(told, tuple) else told
    if isinstance(error, BaseException):
        event["exception"] = [type(one).__qualname__ for one in _behind(error)]
        event["trace"] = [
            f"{code.co_filename}:{line} {code.co_name}"
            for code, line in ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
        ]
    return event


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
