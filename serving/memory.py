"""The memory of finished answers: a device asked again within a day, of the same appraiser, is not valued again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from serving import metrics

MOST = 10_000  # answers: some 12 kB each

Kept = TypeVar("Kept")


class Memory(Generic[Kept]):
    """Keeps the answers asked for last, all of one `epoch`: with another one all are forgotten."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._epoch: Hashable = None

    def recall(self, *, epoch: Hashable, about: Hashable, find: Callable[[], Kept]) -> Kept:
        """What was found about something in this epoch, found now where it was not; what raises is not kept."""
        if epoch != self._epoch:
            self._kept.clear()
            self._epoch = epoch
        metrics.cached(about in self._kept)
        if about in self._kept:
            self._kept.move_to_end(about)
            return self._kept[about]
        found = self._kept[about] = find()
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found
