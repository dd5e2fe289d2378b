"""What the operator chooses: the only place in serving that reads the environment."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from valuation import signature

ORIGIN = r"^https?://[a-z0-9.\-]+(:[0-9]+)?$"  # so no *
PREFIX = "REPRISE_"
OF_OTHERS = ("REPRISE_DATABASE_PASSWORD",)  # compose.yaml reads it
PEPPER_BYTES = 32


class PepperUnusable(OSError):  # noqa: N818 - said as it is
    """The file of the pepper does not hold one."""


class Settings(BaseSettings):
    """REPRISE_HOME and its fellows; the command line goes first. Unknown or wrong values stop the start.

    Lists are comma-separated in the environment. `allowed_hosts` are names without a port. `anonymous` says what
    one may do without a key. `reads` and `writes` are requests a second, `devices` different devices a day, of one
    key or, without a key, of one address; 0 is no limit, and `unlimited` addresses have none while they show no
    key: on this machine that is its owner, or his proxy. Each worker counts for itself. `proxies` are the addresses
    whose X-Forwarded-For is believed; `origins` the sites whose scripts may ask. `exploration_seed`, the same for
    all servers, decides which offers are drawn by chance; without one it follows from the pepper. `metrics_port` 0
    tells no metrics; `traces` is the address of an OpenTelemetry collector. With a `signing_key` only appraisers
    that are signed with it take office. Where `stale_stops`, an appraiser older than 180 days offers nothing.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    home: Annotated[Path, AfterValidator(Path.absolute)] = Path(".reprise")
    tracking_uri: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "localhost", "[::1]")
    registry_every_seconds: Annotated[float, Field(gt=0)] = 5.0
    exploration_seed: str = ""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 2.0
    store_url: str = ""
    traces: str = ""
    stale_stops: bool = False
    unit_pepper: str = ""
    signing_key: Annotated[str, AfterValidator(signature.checked)] = ""
    champion_every_seconds: Annotated[float, Field(gt=0)] = 1.0
    anonymous: Annotated[tuple[Literal["storefront", "seller"], ...], NoDecode] = ("storefront", "seller")
    reads: Annotated[int, Field(ge=0)] = 100
    writes: Annotated[int, Field(ge=0)] = 100
    devices: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    unlimited: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    proxies: Annotated[tuple[str, ...], NoDecode] = ()
    origins: Annotated[tuple[Annotated[str, Field(pattern=ORIGIN)], ...], NoDecode] = ()
    most_inside: Annotated[int, Field(ge=1)] = 256
    most_connections: Annotated[int, Field(ge=1)] = 1000
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9108

    @field_validator("allowed_hosts", "anonymous", "unlimited", "proxies", "origins", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("allowed_hosts")
    @classmethod
    def _as_they_are_asked_for(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """In small letters, and an IPv6 address in brackets: as a Host header is compared."""
        names = (host.lower() for host in hosts)
        return tuple(f"[{name}]" if name.count(":") > 1 and name[0] != "[" else name for name in names)

    @model_validator(mode="after")
    def _check_environment(self) -> Self:
        known = {f"{PREFIX}{name.upper()}" for name in type(self).model_fields}.union(OF_OTHERS)
        told = (name for name in os.environ if name.upper().startswith(PREFIX))
        unknown = sorted(name for name in told if name.upper() not in known)
        if unknown:
            raise ValueError("; ".join(_no_setting(name, known) for name in unknown))
        return self

    @property
    def registry(self) -> str:
        """Where MLflow keeps its registry: the tracking URI, or a sqlite file in the state folder."""
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def champion(self) -> Path:
        """The folder of verified copies and of the pointer to the one in office."""
        return self.home / "champion"

    @property
    def keys(self) -> Path:
        """The file of the API keys; see serving/keys.py."""
        return self.home / "keys.json"

    @property
    def controls(self) -> Path:
        """The file of the controls of offers; see serving/controls.py."""
        return self.home / "controls.toml"

    @property
    def quotes(self) -> str:
        """The URL of the quote store: PostgreSQL's, or that of a SQLite file in the state folder."""
        return self.store_url or f"sqlite:///{self.home / 'quotes.db'}"

    def pepper(self) -> bytes:
        """The secret behind the digests of units, made once; all servers of one store need the same."""
        file = self.home / "unit-pepper"
        if not (self.unit_pepper or file.exists()):
            _make(file, secrets.token_bytes(PEPPER_BYTES))
        pepper = self.unit_pepper.encode() or file.read_bytes()
        if len(pepper) < PEPPER_BYTES:
            where = "REPRISE_UNIT_PEPPER" if self.unit_pepper else str(file)
            raise PepperUnusable(
                f"{where} holds {len(pepper)} bytes, and the secret behind the digests of units has {PEPPER_BYTES} or "
                "more. Restore it; where no quote was given yet, make another."
            )
        return pepper

    def seed(self) -> str:
        """The seed of drawn offers, nobody's business but the house's: its own, or one that follows from the pepper."""
        return self.exploration_seed or hmac.new(self.pepper(), b"exploration", "sha256").hexdigest()

    def environment(self) -> dict[str, str]:
        """The environment for a process that is to have the same home and registry."""
        own = {
            "home": str(self.home),
            "tracking_uri": self.registry,
            "host": self.host,
            "port": str(self.port),
        }
        return {**os.environ, **{f"REPRISE_{name.upper()}": value for name, value in own.items()}}


def _no_setting(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
    return (
        f"{name} is no setting: the nearest is {near}. Correct the name, or take it out of the environment."
    )


def _make(file: Path, content: bytes) -> None:
    """Put a file where there is none, whole and on the disk; one that is there by then stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.") as fresh, suppress(FileExistsError):
        fresh.write(content)
        fresh.flush()
        os.fsync(fresh.fileno())
        os.link(fresh.name, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
