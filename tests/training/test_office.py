"""Laws of the office: who is champion, how one comes into office, and the way back."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import champion, courier
from training.registry import Registry
from training.version import RegistryError, Version
from valuation import signature

Register = Callable[..., Version]  # the fixture of conftest.py


def _champion(registry: Registry) -> str:
    found = registry.champion()
    assert found is not None
    return found.version


def test_nobody_is_in_office_by_being_logged(registry: Registry, register: Register) -> None:
    register("a")
    assert registry.champion() is None


def test_a_promoted_version_is_the_champion_and_the_one_fetched(
    registry: Registry, tmp_path: Path, register: Register
) -> None:
    register("a")
    register("b")
    assert registry.promote("2").aliases == ("champion",)
    assert _champion(registry) == "2"
    assert (registry.fetch(None, tmp_path / "there") / "deep" / "trees.lgb").read_text() == "tree of b"


def test_with_a_key_only_what_was_signed_when_it_was_logged_comes_into_office(
    registry: Registry, home: Path, register: Register, tmp_path: Path
) -> None:
    registry.promote(register("a").version)  # before there was a key
    signing = Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts", signing_key="k" * 32)
    register("b")
    tags = {"verdict": "passed"}
    third = signing.log(directory=tmp_path / "b", params={}, measures={}, tags=tags, files={})
    assert signature.holds(third.tags[signature.TAG], digest=third.digest, key="k" * 32)
    with pytest.raises(RegistryError, match="Version 2 does not bear our signature"):
        signing.promote("2")
    signing.promote("3")
    with pytest.raises(RegistryError, match="Version 1 does not bear our signature"):
        signing.rollback()
    assert _champion(registry) == "3"
    signing.promote("2", despite_verdict=True)
    assert signing.rollback().version == "3"


def test_what_failed_is_signed_only_by_who_vouches_for_it(
    registry: Registry, home: Path, register: Register, tmp_path: Path
) -> None:
    register("a")
    signing = Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts", signing_key="k" * 32)
    failed = signing.log(
        directory=tmp_path / "a", params={}, measures={}, tags={"verdict": "failed"}, files={}
    )
    assert signature.TAG not in failed.tags
    vouched = signing.promote(failed.version, despite_verdict=True)
    assert signature.holds(vouched.tags[signature.TAG], digest=failed.digest, key="k" * 32)


def test_rolling_back_walks_through_the_champions_in_reverse(registry: Registry, register: Register) -> None:
    for name in "abc":
        registry.promote(register(name).version)
    registry.promote("3")  # again: changes nothing
    assert registry.rollback().version == "2"
    assert registry.rollback().version == _champion(registry) == "1"
    with pytest.raises(RegistryError, match=r"In office is version 1, and no version.*There are: 3, 2, 1\."):
        registry.rollback()


def test_a_promotion_that_broke_off_leaves_the_way_back(
    registry: Registry, home: Path, monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    for name in "ab":
        registry.promote(register(name).version)
    register("c")

    def broken(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as power:
        power.setattr(registry._client, "set_registered_model_alias", broken)
        with pytest.raises(RegistryError, match="the power went"):
            registry.promote("3")
    assert _champion(registry) == "2"
    assert Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts").rollback().version == "1"


def test_every_promotion_leaves_a_tag_that_says_whom_it_replaced(
    registry: Registry, register: Register
) -> None:
    register("a")
    register("b", verdict="failed")
    registry.promote("1")
    second = registry.promote("2", despite_verdict=True)
    first = registry.rollback()
    assert {k.split(".")[0]: v for k, v in second.tags.items() if "promoted" in k} == {
        "promoted_despite_verdict": "replaced version 1"
    }
    assert {k.split(".")[0]: v for k, v in first.tags.items() if v.startswith("replaced")} == {
        "promoted": "replaced nobody",
        "rolled_back_to": "replaced version 2",
    }


def test_a_version_that_failed_its_verdict_stays_out_of_office(
    registry: Registry, register: Register
) -> None:
    register("a", verdict="failed")
    with pytest.raises(RegistryError, match=r"MdAPE 12\.5 %, at most 10 % allowed"):
        registry.promote("1")
    assert registry.champion() is None
    assert registry.promote("1", despite_verdict=True).passed is False


@pytest.mark.parametrize("expected", [None, "2", "9"])
def test_a_promotion_meant_for_another_champion_changes_nothing(
    registry: Registry, expected: str | None, register: Register
) -> None:
    register("a")
    register("b")
    registry.promote("1", expected=None)
    with pytest.raises(RegistryError, match="in office is version 1"):
        registry.promote("2", expected=expected)
    assert _champion(registry) == "1"
    registry.promote("2", expected="1")
    assert _champion(registry) == "2"


def test_a_promotion_waits_for_the_one_that_another_process_is_at(
    registry: Registry, home: Path, register: Register
) -> None:
    register("a")
    waiting = threading.Thread(target=registry.promote, args=("1",))
    with (home / "artifacts" / "office.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting.start()
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        assert registry.champion() is None
    waiting.join(timeout=30)
    assert _champion(registry) == "1"


def test_an_unknown_version_is_told_beside_the_known_ones(
    registry: Registry, tmp_path: Path, register: Register
) -> None:
    register("a")
    for unknown in ("7", "one", "", "'"):
        with pytest.raises(RegistryError, match=r"no version .* of reprise-appraiser\. There are: 1\."):
            registry.promote(unknown)
    with pytest.raises(RegistryError, match="no version '7'"):
        registry.fetch("7", tmp_path / "there")


def test_the_courier_of_the_server_delivers_what_was_promoted(
    registry: Registry, home: Path, tmp_path: Path, packed: Path
) -> None:
    version = registry.log(
        directory=packed, params={}, measures={}, tags={"verdict": "passed"}, files={}
    ).version
    with pytest.raises(courier.RegistryAway, match="no champion"):
        courier.connect(f"sqlite:///{home}/mlflow.db")
    promoted = registry.promote(version)
    client = courier.connect(f"sqlite:///{home}/mlflow.db")
    assert courier.Courier(client=client, folder=tmp_path / "office").deliver().outcome == "delivered"
    pointer = champion.Pointer.read(tmp_path / "office")
    assert (pointer.version, pointer.digest, pointer.run_id) == ("1", promoted.digest, promoted.run_id)
