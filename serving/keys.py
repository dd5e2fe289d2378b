"""API keys: `<id>.<secret>`, of which only a digest of the secret is kept, in a small file of the home.

The file is read again when it has changed, so that a key that is revoked is refused from the next request on. One that
cannot be read lets nobody in with a key.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from serving.caller import Caller
from serving.champion import sync
from serving.watched import Watched

SECRET_BYTES = 32
OVERLAP = timedelta(hours=24)
NEVER_MADE = "0" * 64  # a digest of which nobody knows the secret
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
Scope = Literal["storefront", "seller", "operator"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
log = structlog.get_logger("serving")


class KeysUnreadable(ValueError):  # noqa: N818 - said as it is
    """The file of keys is damaged or not ours to read."""


class KeyUnknown(ValueError):  # noqa: N818 - said as it is
    """There is no key with this id."""


class Key(BaseModel):
    """What is kept of a key. After a rotation the earlier secret holds until `earlier_until`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    made_on: date
    expires_at: AwareDatetime = FOREVER
    sha256: Digest
    earlier_sha256: Digest = NEVER_MADE
    earlier_until: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)


_NOBODY = Key(id="0" * 12, name="nobody", scopes={"seller"}, made_on=date(1970, 1, 1), sha256=NEVER_MADE)
_FILE = TypeAdapter(list[Key])


class Keys:
    """The keys in a file. `now` gives the instant in UTC."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path, self.now = path, now
        self._by_digest: Watched[Mapping[str, Key]] = Watched(
            path,
            read=_by_digest,
            absent={},
            unreadable={},
            warning="keys cannot be read: nobody is let in with one",
        )

    def holder(self, told: str) -> Caller | None:
        """Who holds the key that was told; None where it is none, or no longer.

        An unknown id and a wrong secret are one and the same: a digest that is not there. So they take the same time.
        """
        key_id, _, secret = told.partition(".")
        digest, now = _digest(secret), self.now()
        key = self._by_digest.now().get(digest, _NOBODY)
        ends = key.expires_at if hmac.compare_digest(digest, key.sha256) else key.earlier_until
        known = hmac.compare_digest(key.id.encode(), key_id.encode()) and now < min(ends, key.expires_at)
        return Caller(id=key.id, scopes=frozenset(key.scopes)) if known else None

    def new(self, *, name: str, scopes: frozenset[Scope], lasts: timedelta | None = None) -> str:
        """Make a key and return it; nobody can tell its secret again. Raises KeysUnreadable, ValidationError."""
        told, digest = _secret()
        now = self.now()
        key = Key(
            id=secrets.token_hex(6),
            name=name,
            scopes=scopes,
            made_on=now.date(),
            expires_at=FOREVER if lasts is None else now + lasts,
            sha256=digest,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._changing() as keys:
            keys[key.id] = key
        return f"{key.id}.{told}"

    def rotate(self, key_id: str, *, overlap: timedelta = OVERLAP) -> str:
        """Give a key a new secret and return it; the old one holds for the overlap. Raises KeyUnknown."""
        told, digest = _secret()
        with self._changing() as keys:
            old = _find(keys, key_id)
            changes = {
                "sha256": digest,
                "earlier_sha256": old.sha256,
                "earlier_until": self.now() + overlap,
            }
            keys[key_id] = old.model_copy(update=changes)
        return f"{key_id}.{told}"

    def revoke(self, key_id: str) -> None:
        """End a key at once, its earlier secret too. Raises KeyUnknown."""
        with self._changing() as keys:
            del keys[_find(keys, key_id).id]

    def all(self) -> list[Key]:
        """Every key that was not revoked. Raises KeysUnreadable."""
        return list(self._read().values())

    def _read(self) -> dict[str, Key]:
        try:
            return _keys(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, KeysUnreadable) as error:
            raise KeysUnreadable(f"{self.path} cannot be read: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed by one at a time, and then kept."""
        if not self.path.parent.is_dir():
            raise KeyUnknown(f"There are no keys in {self.path}: is REPRISE_HOME another?")
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            keys = self._read()
            yield keys
            self._write(_FILE.dump_json(list(keys.values()), indent=1))
        finally:
            os.close(folder)

    def _write(self, content: bytes) -> None:
        fresh = self.path.with_suffix(f".{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            if os.geteuid() == 0:  # the server of this home, whose user is another, is to read it
                owner = self.path.parent.stat()
                os.chown(file.fileno(), owner.st_uid, owner.st_gid)
        sync(fresh)
        fresh.replace(self.path)
        sync(self.path.parent)


def _keys(content: bytes) -> dict[str, Key]:
    try:
        return {key.id: key for key in _FILE.validate_json(content)}
    except ValidationError:  # whose words hold what is in the file
        raise KeysUnreadable("it is damaged") from None


def _by_digest(content: bytes) -> dict[str, Key]:
    keys = _keys(content).values()
    log.info("keys", count=len(keys))
    return {digest: key for key in keys for digest in (key.sha256, key.earlier_sha256)}


def _secret() -> tuple[str, str]:
    told = secrets.token_urlsafe(SECRET_BYTES)
    return told, _digest(told)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _find(keys: Mapping[str, Key], key_id: str) -> Key:
    if key_id not in keys:
        raise KeyUnknown(
            f"There is no key with the id {key_id}: `reprise-serve keys list` shows those there are."
        )
    return keys[key_id]
