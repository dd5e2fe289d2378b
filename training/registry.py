"""The registry: every appraiser that was made, what it was judged to be, and which one is in office.

MLflow's tracking store and model registry, on a sqlite file unless told otherwise. One run a version: parameters,
measures, the reports, and the appraiser directory under the artifact path `appraiser`. No model flavour and nothing
pickled: a version is files. This is the only module of training that imports mlflow, and it does so when a store is
first asked, because that import takes seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from training import model_card
from training.version import RegistryError, Version
from valuation import appraiser, package, signature

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

EXPERIMENT, MODEL, CHAMPION, ARTIFACT = "reprise", appraiser.NAME, "champion", "appraiser"
EARLIER = "earlier_champions"  # a tag of the model: the versions in office before, oldest first
HOW_TO_BEGIN = "Run: reprise retrain --sales FILE --promote"

# MLflow reads these when it is imported, which is later: it should tell nobody of us, and only us of trouble.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a store that is away is told soon
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # seconds


class Registry:
    """The appraisers of one MLflow store; `artifacts` is the folder that a new store keeps its files in.

    With a `signing_key` what passed is signed when it is logged (see valuation/signature.py), and nobody without that
    signature comes into office: what the registry tells later, others may have written. A sqlite store that does not
    exist yet holds nothing, and is made by the first `log`.
    """

    def __init__(self, tracking_uri: str, artifacts: Path, *, signing_key: str = "") -> None:
        self._uri, self._artifacts = tracking_uri, artifacts.absolute()
        self._signing_key = signing_key

    def log(
        self,
        *,
        directory: Path,
        params: Mapping[str, object],
        measures: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, Path | str],
    ) -> Version:
        """Register an appraiser directory as a new version, with its study; it is not in office by that.

        `tags` hold the `verdict`, passed or failed, and what else is worth knowing; as_of, simulated and
        appraiser_digest are taken from the manifest. `files` are texts, or paths of files to copy, by name.
        """
        if tags.get("verdict") not in ("passed", "failed"):
            raise RegistryError(f"The tag verdict is {tags.get('verdict')!r}; give 'passed' or 'failed'.")
        manifest, digest = package.read_manifest(directory=directory)
        told = {**tags, "appraiser_digest": digest, **_of_manifest(manifest)}
        if self._signing_key and tags["verdict"] == "passed":
            told[signature.TAG] = signature.sign(digest=digest, key=self._signing_key)
        with self._explained("register a version"):
            run_id, source = self._run(directory, params, measures, told, files)
            if self._model() is None:
                self._client.create_registered_model(MODEL, description="Resale prices of used devices")
            found = self._client.create_model_version(
                MODEL,
                source=source,
                run_id=run_id,
                tags=told,
                description=model_card.markdown(manifest=manifest, tags=told, measures=measures),
            )
        return self._get(str(found.version))

    def _run(
        self,
        directory: Path,
        params: Mapping[str, object],
        measures: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, Path | str],
    ) -> tuple[str, str]:
        """Record a run, and tell its id and where it keeps the appraiser; it ends as failed where it breaks off."""
        from mlflow.entities import Metric, Param, RunTag

        info = self._client.create_run(self._experiment(), run_name=tags["as_of"]).info
        at = info.start_time
        status = "FAILED"
        try:
            self._client.log_batch(
                info.run_id,
                metrics=[Metric(name, float(value), at, 0) for name, value in measures.items()],
                params=[Param(name, str(value)) for name, value in params.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
            self._client.log_artifacts(info.run_id, str(directory), ARTIFACT)
            with tempfile.TemporaryDirectory() as folder:
                _gather(files, Path(folder))
                self._client.log_artifacts(info.run_id, folder)
            status = "FINISHED"
        finally:
            self._client.set_terminated(info.run_id, status)
        return info.run_id, f"{info.artifact_uri}/{ARTIFACT}"

    def versions(self) -> tuple[Version, ...]:
        """List what is registered, newest first."""
        with self._explained("list the versions"):
            model = self._model()
            if model is None:
                return ()
            runs = {run.info.run_id: run.data for run in self._runs()}
            found = [_version(v, model, runs.get(v.run_id)) for v in self._found()]
        return tuple(sorted(found, key=lambda v: int(v.version), reverse=True))

    def champion(self) -> Version | None:
        """Tell which version is in office."""
        return next((v for v in self.versions() if CHAMPION in v.aliases), None)

    def promote(
        self, version: str, *, expected: str | EllipsisType | None = ..., despite_verdict: bool = False
    ) -> Version:
        """Put a version into office; the one before it can be rolled back to.

        With `expected`, only if that version (None: nobody) still is in office. Between the processes of one
        machine nothing comes between that look and the change; a store shared over a network has no such lock.

        Raises RegistryError for an unknown version, for one whose verdict failed or that is not signed with the key
        unless `despite_verdict`, and where somebody else has come into office.
        """
        with self._locked():
            chosen, champion = self._get(version), self.champion()
            before = champion.version if champion else None
            if expected is not ... and expected != before:
                raise RegistryError(
                    f"Version {version} was to replace {_office(expected)}, but in office is {_office(before)}. "
                    "Compare the two again, and promote again."
                )
            if not (chosen.passed or despite_verdict):
                raise RegistryError(
                    f"The verdict on version {version} is {chosen.tags.get('verdict', 'missing')}: "
                    f"{chosen.tags.get('reasons', 'no reasons recorded')}\n"
                    "Promote a version that passed, or say that it is to be in spite of the verdict (--no-gate)."
                )
            if despite_verdict:
                self._sign(chosen)
            self._check_signature(chosen)
            how = "promoted" if chosen.passed else "promoted_despite_verdict"
            earlier = [v for v in (*self._earlier(before), before) if v]
            self._install(chosen.version, how, before, earlier)
        return self._get(version)

    def rollback(self) -> Version:
        """Put the champion before the present one back into office; the next rollback goes one further back."""
        with self._locked():
            champion = self.champion()
            before = champion.version if champion else None
            earlier = self._earlier(before)
            if not earlier:
                raise RegistryError(
                    f"In office is {_office(before)}, and no version that was in office before it is left. "
                    f"{self._known()} Promote one of them instead."
                )
            self._check_signature(self._get(earlier[-1]))
            self._install(earlier[-1], "rolled_back_to", before, earlier)
        return self._get(earlier[-1])

    def fetch(self, version: str | None, destination: Path) -> Path:
        """Copy the appraiser directory of a version, None for the champion, into a folder, and tell its path."""
        chosen = self._get(version) if version else self.champion()
        if chosen is None:
            raise RegistryError(f"No version of {MODEL} is in office. {HOW_TO_BEGIN}")
        destination.mkdir(parents=True, exist_ok=True)
        with self._explained(f"fetch version {chosen.version}"):
            path = Path(self._client.download_artifacts(chosen.run_id, ARTIFACT, str(destination)))
        if (digest := package.read_manifest(directory=path)[1]) != chosen.digest:
            raise RegistryError(
                f"The files of version {chosen.version} have the digest {digest[:12]}, registered was "
                f"{chosen.digest[:12]}: they were changed since. Retrain, or use another version."
            )
        return path

    def _sign(self, chosen: Version) -> None:
        """Vouch for a version as the registry tells it now."""
        if self._signing_key and not self._is_signed(chosen):
            signed = signature.sign(digest=chosen.digest, key=self._signing_key)
            with self._explained(f"sign version {chosen.version}"):
                self._client.set_model_version_tag(MODEL, chosen.version, signature.TAG, signed)

    def _is_signed(self, chosen: Version) -> bool:
        told = self._get(chosen.version).tags.get(signature.TAG, "")
        return signature.holds(told, digest=chosen.digest, key=self._signing_key)

    def _check_signature(self, chosen: Version) -> None:
        if self._signing_key and not self._is_signed(chosen):
            raise RegistryError(
                f"Version {chosen.version} does not bear our signature: it was logged without REPRISE_SIGNING_KEY, "
                "or changed since. Retrain; or, if you know what it is, promote it with --no-gate, which signs it."
            )

    def _install(self, version: str, how: str, before: str | None, earlier: list[str]) -> None:
        """Set the alias last: wherever this breaks off, `_earlier` still tells the past of the one in office."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._explained(f"put version {version} into office"):
            self._client.set_model_version_tag(MODEL, version, f"{how}.{now}", f"replaced {_office(before)}")
            self._client.set_registered_model_tag(MODEL, EARLIER, " ".join(earlier))
            self._client.set_registered_model_alias(MODEL, CHAMPION, version)

    def _earlier(self, champion: str | None) -> list[str]:
        """List the versions in office before this champion that are still registered, oldest first."""
        model = self._model()
        known = {str(found.version) for found in self._found()} if model else set()
        past = [v for v in (model.tags.get(EARLIER, "").split() if model else ()) if v in known]
        while past and past[-1] == champion:
            past.pop()
        return past

    def _get(self, version: str) -> Version:
        for found in self.versions():
            if found.version == version:
                return found
        raise RegistryError(f"There is no version {version!r} of {MODEL}. {self._known()}")

    def _known(self) -> str:
        numbers = ", ".join(found.version for found in self.versions())
        return f"There are: {numbers}." if numbers else f"None is registered yet. {HOW_TO_BEGIN}"

    def _model(self) -> RegisteredModel | None:
        address = urlsplit(self._uri)
        if address.scheme == "sqlite" and not Path(address.path.removeprefix("/")).exists():
            return None
        return next(iter(self._client.search_registered_models(f"name='{MODEL}'")), None)

    def _found(self) -> Any:
        return self._client.search_model_versions(f"name='{MODEL}'", max_results=10_000)

    def _runs(self) -> Any:
        from mlflow.entities import ViewType

        found = self._client.get_experiment_by_name(EXPERIMENT)
        return self._client.search_runs([found.experiment_id], "", ViewType.ALL, 50_000) if found else ()

    def _experiment(self) -> str:
        """The experiment's id; a new one keeps its files where we say, MLflow's choice is the working directory."""
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found:
            return str(found.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts.as_uri()))

    @cached_property
    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this machine from changing the champion meanwhile."""
        self._artifacts.mkdir(parents=True, exist_ok=True)
        with (self._artifacts / "office.lock").open("w") as file, self._explained("change the champion"):
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn what MLflow or its store complains of into a RegistryError."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            told = f"MLflow at {self._uri} could not {doing}: {str(error).splitlines()[0]}"
            raise RegistryError(
                re.sub(r"//[^/@\s]*@", "//", told)  # user and password
                + " Check REPRISE_HOME and REPRISE_TRACKING_URI; a damaged store is restored from its backup."
            ) from error


def _of_manifest(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {"as_of": manifest["as_of"], "simulated": str(manifest["simulated"]).lower()}


def _gather(files: Mapping[str, Path | str], folder: Path) -> None:
    for name, content in files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")


def _version(found: Any, model: RegisteredModel, run: Any) -> Version:
    aliases = sorted(alias for alias, version in model.aliases.items() if str(version) == str(found.version))
    return Version(
        version=str(found.version),
        run_id=str(found.run_id),
        aliases=tuple(aliases),
        tags=dict(found.tags),
        params=dict(run.params) if run else {},
        measures=dict(run.metrics) if run else {},
    )


def _office(version: str | None) -> str:
    return f"version {version}" if version else "nobody"
