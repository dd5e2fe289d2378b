"""Who may come in where: every route, with whom it is for and what it takes. A route that is not here is closed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serving.refusal import Refusal

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a route asks of a request.

    A caller needs one of the `scopes`; none means open to everybody, and keys are not looked at. `body` is the
    content type that is taken, empty where no body is read. `priced` routes tell what devices are worth, and count
    toward the daily budget of devices. `vital` ones are answered however full the house is.
    """

    scopes: tuple[str, ...] = ()
    body: str = ""
    most_bytes: int = 16 * 1024
    priced: bool = False
    vital: bool = False


_ANY = ("storefront", "seller", "operator")
_STOREFRONT, _SELLER, _OPERATOR = ("storefront",), ("seller",), ("operator",)
_QUOTE = "/v1/buyback/quotes/{quote_id}"
ENTRIES: Mapping[str, Entry] = {
    "GET /livez": Entry(vital=True),
    "GET /readyz": Entry(vital=True),
    "GET /openapi.json": Entry(),
    "GET /v1/models/champion": Entry(scopes=_ANY),
    "POST /v1/models/champion/look": Entry(scopes=_OPERATOR),
    "GET /v1/markets": Entry(scopes=_ANY),
    "GET /v1/devices": Entry(scopes=_ANY),
    "GET /v1/devices/{device_id}": Entry(scopes=_ANY),
    "GET /v1/buyback/questions": Entry(scopes=_STOREFRONT),
    "POST /v1/buyback/quotes": Entry(scopes=_STOREFRONT, body=JSON, priced=True),
    f"GET {_QUOTE}": Entry(scopes=("storefront", "operator")),
    f"GET {_QUOTE}/events": Entry(scopes=("storefront", "operator")),
    f"POST {_QUOTE}/accept": Entry(scopes=("storefront", "operator"), body=JSON),
    f"POST {_QUOTE}/inspection": Entry(scopes=_OPERATOR, body=JSON),
    f"POST {_QUOTE}/payment": Entry(scopes=_OPERATOR, body=JSON),
    f"POST {_QUOTE}/void": Entry(
        scopes=("storefront", "operator"), body=JSON
    ),  # a customer's own, see buyback.py
    "POST /v1/valuations": Entry(scopes=_SELLER, body=JSON, most_bytes=1024 * 1024, priced=True),
    "POST /v1/sellers/price-checks": Entry(scopes=_SELLER, body=JSON, priced=True),
    "GET /v1/comparables": Entry(scopes=_SELLER, priced=True),
    "GET /": Entry(scopes=("storefront", "seller")),
    "GET /style.css": Entry(),
    "GET /icon.svg": Entry(),
    "GET /quotes/{quote_id}": Entry(scopes=_STOREFRONT),
    "GET /sell": Entry(scopes=_STOREFRONT),
    "POST /sell": Entry(scopes=_STOREFRONT, body=FORM, priced=True),
    "GET /check": Entry(scopes=_SELLER),
    "POST /check": Entry(scopes=_SELLER, body=FORM, priced=True),
}
VITAL = frozenset(name.removeprefix("GET ").encode() for name, entry in ENTRIES.items() if entry.vital)


class Entries:
    """Finds the entry of a request. Keys of the table are a method and the template of a path."""

    def __init__(self, table: Mapping[str, Entry] = ENTRIES) -> None:
        routes = [(*_split(name), entry) for name, entry in table.items()]
        self._exact = {(method, path): (path, entry) for method, path, entry in routes if "{" not in path}
        self._patterned = [(method, _pattern(path), path, entry) for method, path, entry in routes]

    def find(self, method: str, path: str) -> tuple[str, Entry]:
        """The template that a path follows, and its entry. Refusal 404 or 405 where there is none."""
        found = self._exact.get((method, path))
        if found:
            return found
        for taken, pattern, template, entry in self._patterned:
            if method == taken and pattern.fullmatch(path):
                return template, entry
        others = sorted({taken for taken, pattern, *_ in self._patterned if pattern.fullmatch(path)})
        if others:
            detail = "This address does not take that method."
            raise Refusal(405, "http", detail, headers={"Allow": ", ".join(others)})
        raise Refusal(404, "http", "There is nothing at this address.")


def _split(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    return method, path


def _pattern(template: str) -> re.Pattern[str]:
    fixed = re.split(r"\{\w+\}", template)
    return re.compile("[^/]+".join(re.escape(part) for part in fixed))
