"""The office: the champion in it, and the courier who brings the next.

A courier's life is never the server's trouble: one that ends is replaced, one that does not answer is not waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from serving import metrics
from serving.champion import Champion
from serving.settings import Settings

RESTART_SECONDS = 5.0
LOOK_SECONDS = 90.0  # a download and a trial
log = structlog.get_logger("serving")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look brought.

    `registered` is the version that the registry names champion, None where it could not be asked; `in_office` the one
    that serves now. `reason` says why they differ.
    """

    outcome: Literal["delivered", "unchanged", "refused", "registry_away", "courier_away"]
    registered: str | None
    in_office: str | None
    reason: str = ""


class Office:
    """Employs a courier beside the champion, and lets both look at once."""

    def __init__(self, *, champion: Champion | None, settings: Settings) -> None:
        """Without a champion of its own it sits above those who have one: these look by themselves."""
        self._champion, self._settings = champion, settings
        self._courier: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self._numbers = itertools.count(1)

    async def employ(self) -> None:
        """Keep a courier running until this is cancelled."""
        status: int | str | None
        while True:
            try:
                self._courier = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "serving.courier"),
                    stdin=asyncio.subprocess.PIPE,  # it ends with us, however we end
                    stdout=asyncio.subprocess.PIPE,
                    env=_without_measures(self._settings.environment()),
                )
                status = await end_of(self._courier)
            except OSError as error:  # too many processes or files: there may be room again
                status = error.strerror
            finally:
                self._courier = None
            log.warning("courier ended", status=status)
            await asyncio.sleep(RESTART_SECONDS)

    async def look_now(self) -> Look:
        """Let the courier ask the registry, also for what was refused before, and the champion look at its pointer."""
        async with self._one_at_a_time:
            told = await self._ask()
            if self._champion is not None:
                await asyncio.to_thread(self._champion.look)
        incumbent = self._champion and self._champion.incumbent
        look = Look(
            outcome=told["outcome"],
            registered=told["version"],
            in_office=incumbent.version if incumbent else None,
            reason=told["reason"],
        )
        log.info("looked", outcome=look.outcome, registered=look.registered, in_office=look.in_office)
        return look

    async def _ask(self) -> dict[str, Any]:
        """What the courier answers; its answer to an earlier question is not taken for one."""
        away = {
            "outcome": "courier_away",
            "version": None,
            "reason": "The courier does not answer: see the log.",
        }
        courier, number = self._courier, str(next(self._numbers))
        if courier is None or courier.stdin is None or courier.stdout is None:
            return away
        with suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                courier.stdin.write(f"{number}\n".encode())
                await courier.stdin.drain()
                while line := await courier.stdout.readline():
                    told: dict[str, Any] = json.loads(line)
                    if told["asked"] == [number]:
                        return told
        return away


async def end_of(process: asyncio.subprocess.Process) -> int:
    """Wait for the end of a process, and tell its status; who does not wait any more ends it."""
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _without_measures(environment: dict[str, str]) -> dict[str, str]:
    """An environment without the folder of measures: a courier has none, and its zeros would be told with theirs."""
    return {name: value for name, value in environment.items() if name != metrics.TOGETHER}
