"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: the id of a key, empty for somebody without one, and what that key is for."""

    id: str = ""
    scopes: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        """Whether what is asked is his to ask."""
        return scope in self.scopes


ANYBODY = Caller(scopes=frozenset(("storefront", "seller")))


def of(request: Request) -> Caller:
    """Whoever sent a request, as the guard found him."""
    found: Caller = getattr(request.state, "caller", ANYBODY)
    return found
