"""A registered appraiser: what it was judged to be, and what it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

SHOWN = ("n", "mdape", "coverage_90")  # measures of the study that a line of a table shows


class RegistryError(RuntimeError):
    """The registry cannot, or will not, do what was asked."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered appraiser. `measures` are those of its study; both are empty where its run was deleted."""

    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    params: Mapping[str, str]
    measures: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether its verdict was favourable; a version without one was not judged, and did not pass."""
        return self.tags.get("verdict") == "passed"

    @property
    def simulated(self) -> bool:
        """Whether it learned from simulated sales."""
        return self._tag("simulated") == "true"

    @property
    def as_of(self) -> date:
        """The day after the last sale it learned from."""
        return date.fromisoformat(self._tag("as_of"))

    @property
    def digest(self) -> str:
        """The sha256 of its manifest."""
        return self._tag("appraiser_digest")

    def row(self) -> tuple[str, ...]:
        """Its line in a table: version, office, verdict, as of, sales, then `n`, `mdape`, `coverage_90`, and data."""
        told = (f"{self.measures[name]:.4g}" if name in self.measures else "" for name in SHOWN)
        data = self.tags.get("data_digest", "")[:12]
        return (
            self.version,
            ", ".join(self.aliases),
            self.tags.get("verdict", "not judged"),
            self.tags.get("as_of", ""),
            self.params.get("sales", ""),
            *told,
            f"{data} simulated" if self.tags.get("simulated") == "true" else data,
        )

    def _tag(self, name: str) -> str:
        if name not in self.tags:
            raise RegistryError(
                f"Version {self.version} of the appraiser has no tag {name!r}: `reprise retrain` did not register it. "
                "Delete it in MLflow, or leave it out of office."
            )
        return self.tags[name]
