"""The card of a version, as the registry shows it: mlflow/model-card.md says what stands under each heading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIMULATED = "**Learned from simulated sales: its values are nobody's prices.**"


def markdown(*, manifest: Mapping[str, Any], tags: Mapping[str, str], measures: Mapping[str, float]) -> str:
    """Write the card of an appraiser by its manifest, the tags of its version and the measures of its study."""
    parts = {
        "Learned from": _bullets({k: v for k, v in manifest["card"].items() if not _is_table(v)}),
        "Looks at": _bullets(
            {"features": manifest["features"], "attributes": sorted(manifest["attributes"])}
        ),
        "Verdict": [f"**{tags['verdict']}**", "", *tags.get("reasons", "").splitlines()],
        "Study, on later sales than it had learned from": _bullets(measures),
        "Files": _bullets({"digest of the manifest": tags["appraiser_digest"]}),
    }
    title = [
        f"# {manifest['name']}, as of {manifest['as_of']}",
        *([SIMULATED] if manifest["simulated"] else []),
    ]
    lines = [*title, *(line for name, part in parts.items() for line in ("", f"## {name}", *part))]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    """Whether it is the study, or another table: the card has the measures of the study in a place of their own."""
    members = value if isinstance(value, list) else [value]
    return any(isinstance(member, Mapping) for member in members)


def _bullets(facts: Mapping[str, Any]) -> list[str]:
    return [f"- {name}: {_told(value)}" for name, value in facts.items()]


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
