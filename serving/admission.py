"""How many may be inside at once. Who comes when the house is full is told so at once, and everybody else is served."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from serving.refusal import Refusal

MOST_HELD_BYTES = 32 * 1024 * 1024  # of bodies that have not come to their end
MOST_WAIT_SECONDS = 0.5
SHORT_LINE = 32  # may wait in any case, so that there is work while those who were served ask again
STEPS_A_TURN = 4
FIRST_PACE = 0.001  # seconds for each request that begins, until it is known
NEWS = 0.1  # the share of the last turn in what is known of the pace


class Admission:
    """The bound on requests inside, and the line in which they begin.

    Everything is computed on one event loop. If a hundred requests came at once and each began at once, the next look
    at the network would be a hundred answers away, and whoever has to be refused, or asks whether we are alive, would
    wait that long. So only STEPS_A_TURN begin in each turn of the loop, first come, first served. The house is full
    with `most` inside, or when the last in the line would wait for longer than MOST_WAIT_SECONDS at the pace of late:
    so the line is long where little is asked of each, and short where much is.
    """

    def __init__(self, *, most: int) -> None:
        self.most, self.inside, self.held_bytes = most, 0, 0
        self.coming = 0  # requests whose head was read, and whose task has not begun: see connection.py
        self._begun, self._turned_at, self._pace = 0, 0.0, FIRST_PACE
        self._line: deque[asyncio.Future[None]] = deque()
        self._turning = False

    def is_full(self) -> bool:
        """Whether whoever comes now is refused."""
        waiting = self.coming + len(self._line)
        return self.inside >= self.most or (waiting > SHORT_LINE and waiting * self._pace > MOST_WAIT_SECONDS)

    async def enter(self) -> None:
        """Come in, and wait for one's turn; whoever came in must `leave`. Refusal 503 where the house is full."""
        if self.is_full():
            raise full()
        self.inside += 1
        if self._begun < STEPS_A_TURN and not self._line:
            self._begin()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self.leave()
            raise

    def leave(self) -> None:
        """Make room for another."""
        self.inside -= 1

    def hold(self, count: int) -> None:
        """Hold so many more bytes of a body, or let them go where the count is negative. Refusal 503 as above."""
        self.held_bytes += count
        if count > 0 and self.held_bytes > MOST_HELD_BYTES:
            self.held_bytes -= count
            raise full()

    def _begin(self) -> None:
        self._begun += 1
        if not self._turning:
            self._turning, self._turned_at = True, time.monotonic()
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A new turn of the loop: let the next ones begin; stop turning when a turn saw nobody."""
        if self._line:
            latest = (time.monotonic() - self._turned_at) / self._begun
            self._pace += NEWS * (latest - self._pace)
        self._turning, self._begun = False, 0
        while self._line and self._begun < STEPS_A_TURN:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begin()


def full() -> Refusal:
    """The answer of a house that is full."""
    return Refusal(503, "full", "Too much is asked at the moment.", headers={"Retry-After": "2"})
