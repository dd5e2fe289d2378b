"""Whether a description of the API still holds for those who rely on an earlier one; `make openapi` writes it again.

/v1 grows and never changes: a route, a field of a reply, a word or a status that is there stays; no more is asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
Schema = dict[str, Any]


def breaks(earlier: Schema, later: Schema) -> list[str]:
    """What somebody who relies on the earlier description would trip over."""
    return list(_Comparison(earlier, later).breaks())


class _Comparison:
    def __init__(self, earlier: Schema, later: Schema) -> None:
        self.earlier, self.later = earlier, later

    def breaks(self) -> Iterator[str]:
        for path, methods in self.earlier["paths"].items():
            for method, was in methods.items():
                place = f"{method.upper()} {path}"
                now = self.later["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{place} is gone"
                    continue
                yield from self._parameters(place, was, now)
                yield from self._body(place, was, now)
                yield from self._replies(place, was, now)

    def _parameters(self, place: str, was: Schema, now: Schema) -> Iterator[str]:
        known = {(one["in"], one["name"]): one for one in was.get("parameters", [])}
        told = {(one["in"], one["name"]): one for one in now.get("parameters", [])}
        for key in known.keys() - told.keys():
            yield f"{place}: {key[1]} is no longer taken"
        for key, one in told.items():
            if one.get("required") and not known.get(key, {}).get("required"):
                yield f"{place}: {key[1]} has to be told now"

    def _body(self, place: str, was: Schema, now: Schema) -> Iterator[str]:
        for kind, content in was.get("requestBody", {}).get("content", {}).items():
            later = now.get("requestBody", {}).get("content", {}).get(kind)
            if later is None:
                yield f"{place}: {kind} is no longer taken"
            else:
                yield from self._schema(f"{place} asks", content["schema"], later["schema"], asked=True)

    def _replies(self, place: str, was: Schema, now: Schema) -> Iterator[str]:
        for status, reply in was["responses"].items():
            for kind, content in reply.get("content", {}).items():
                later = now["responses"].get(status, {}).get("content", {}).get(kind)
                if later is None:
                    yield f"{place}: {status} {kind} is no longer answered"
                else:
                    yield from self._schema(
                        f"{place} {status}", content.get("schema", {}), later.get("schema", {}), asked=False
                    )

    def _schema(self, place: str, was: Schema, now: Schema, *, asked: bool) -> Iterator[str]:
        was, now = self._found(was, self.earlier), self._found(now, self.later)
        for word in ("type", "format", "pattern", "const"):
            if was.get(word) != now.get(word):
                yield f"{place}: {word} was {was.get(word)}, is {now.get(word)}"
        for name, schema in was.get("properties", {}).items():
            if name in now.get("properties", {}):
                yield from self._schema(f"{place}.{name}", schema, now["properties"][name], asked=asked)
            else:
                yield f"{place}.{name} is gone"
        needed, given = set(was.get("required", ())), set(now.get("required", ()))
        for name in given - needed if asked else needed - given:
            yield f"{place}.{name} has to be told now" if asked else f"{place}.{name} may be missing now"
        for word in set(was.get("enum", ())) - set(now.get("enum", ())):
            yield f"{place}: {word} is gone"
        for several in ("anyOf", "oneOf"):
            if len(was.get(several, ())) > len(now.get(several, ())):
                yield f"{place}: fewer kinds than before"
            for one, other in zip(was.get(several, ()), now.get(several, ()), strict=False):
                yield from self._schema(place, one, other, asked=asked)
        if "items" in was:
            yield from self._schema(f"{place}[]", was["items"], now.get("items", {}), asked=asked)

    def _found(self, schema: Schema, document: Schema) -> Schema:
        while "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema


def described() -> Schema:
    """The description of the API as it is now."""
    import tempfile
    from datetime import UTC, datetime

    from serving.app import create_app
    from serving.champion import Champion
    from serving.database import Database
    from serving.quotes import Quotes
    from serving.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        quotes = Quotes(database=Database(url=settings.quotes))
        app = create_app(
            settings=settings,
            champion=Champion(folder=settings.champion),
            quotes=quotes,
            now=lambda: datetime.now(UTC),
        )
        quotes.close()
        found: Schema = json.loads(json.dumps(app.openapi()))
    return found


def main() -> None:
    """Write the description, unless that would break a promise."""
    now = described()
    if FILE.exists() and (broken := breaks(json.loads(FILE.read_text("utf-8")), now)):
        sys.exit("This would break those who use /v1:\n" + "\n".join(broken))
    FILE.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
