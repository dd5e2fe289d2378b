"""Laws of the service."""

from __future__ import annotations

import socket

import pytest

from serving import service
from serving.settings import Settings


def test_answers_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name TCP; without it each answer is some 40 ms late."""
    with service.listen(Settings(port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_named() -> None:
    with service.listen(Settings(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(service.AddressTaken, match=f"127.0.0.1:{port}"):
            service.listen(Settings(port=port))
