"""Laws of the life of a quote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from serving.life import Event, Kind, Life, Status, WrongStatus

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
END = AT + timedelta(days=14)


def lived(*kinds: Kind, offered: bool = True, amount: int = 12900) -> Life:
    events = tuple(Event(kind=kind, at=AT, amount_minor=amount) for kind in (Kind.ISSUED, *kinds))
    return Life(offered=offered, expires_at=END, events=events)


def then(life: Life, kind: Kind, at: datetime = AT, amount: int = 12900) -> Life:
    return life.then(Event(kind=kind, at=at, amount_minor=amount))


WAYS = [
    ((), Status.ISSUED),
    ((Kind.ACCEPTED,), Status.ACCEPTED),
    ((Kind.ACCEPTED, Kind.INSPECTED), Status.PAYABLE),
    ((Kind.ACCEPTED, Kind.INSPECTED, Kind.REQUOTED), Status.REQUOTED),
    ((Kind.ACCEPTED, Kind.INSPECTED, Kind.REQUOTED, Kind.ACCEPTED), Status.PAYABLE),
    ((Kind.ACCEPTED, Kind.INSPECTED, Kind.PAID), Status.PAID),
    ((Kind.EXPIRED,), Status.EXPIRED),
    ((Kind.VOIDED,), Status.VOIDED),
]


@pytest.mark.parametrize(("kinds", "status"), WAYS, ids=[str(status) for _, status in WAYS])
def test_the_status_follows_from_what_happened(kinds: tuple[Kind, ...], status: Status) -> None:
    assert lived(*kinds).status(at=AT) == status


def test_an_offer_holds_to_its_last_millisecond_and_not_after() -> None:
    last = END - timedelta(milliseconds=1)
    assert then(lived(), Kind.ACCEPTED, at=last).status(at=END) == Status.ACCEPTED
    with pytest.raises(WrongStatus, match="EXPIRED"):
        then(lived(), Kind.ACCEPTED, at=END)


def test_what_was_accepted_in_time_never_expires() -> None:
    accepted = then(lived(), Kind.ACCEPTED)
    assert accepted.status(at=END + timedelta(days=1000)) == Status.ACCEPTED
    with pytest.raises(WrongStatus):
        then(accepted, Kind.EXPIRED, at=END)


@pytest.mark.parametrize("kinds", [kinds for kinds, status in WAYS if status != Status.ISSUED])
def test_nothing_is_accepted_twice_but_a_requote(kinds: tuple[Kind, ...]) -> None:
    life = lived(*kinds)
    if life.status(at=AT) == Status.REQUOTED:
        assert then(life, Kind.ACCEPTED).status(at=AT) == Status.PAYABLE
        return
    with pytest.raises(WrongStatus):
        then(life, Kind.ACCEPTED)


@pytest.mark.parametrize("kinds", [kinds for kinds, status in WAYS if status.over])
@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_happens_to_a_quote_that_is_over(kinds: tuple[Kind, ...], kind: Kind) -> None:
    with pytest.raises(WrongStatus):
        then(lived(*kinds), kind, at=END)


@pytest.mark.parametrize("kinds", [(), (Kind.ACCEPTED,), (Kind.ACCEPTED, Kind.INSPECTED, Kind.REQUOTED)])
def test_nothing_is_paid_before_an_inspection_and_its_owners_yes(kinds: tuple[Kind, ...]) -> None:
    with pytest.raises(WrongStatus, match="PAID"):
        then(lived(*kinds), Kind.PAID)


def test_where_nothing_is_offered_nothing_is_accepted() -> None:
    with pytest.raises(WrongStatus, match="nothing is offered"):
        then(lived(offered=False), Kind.ACCEPTED)


def test_a_requote_of_nothing_cannot_be_accepted() -> None:
    life = lived(Kind.ACCEPTED, Kind.INSPECTED)
    back = then(life, Kind.REQUOTED, amount=0)
    with pytest.raises(WrongStatus):
        then(back, Kind.ACCEPTED, amount=0)
    assert then(back, Kind.VOIDED).status(at=AT) == Status.VOIDED


def test_the_house_is_exposed_until_it_has_paid_or_need_not() -> None:
    assert lived().exposed_share == "EXPECTED"
    assert lived(Kind.ACCEPTED).exposed_share == "WHOLE"
    assert lived(Kind.ACCEPTED, Kind.INSPECTED).exposed_share == "WHOLE"
    for last in (Kind.PAID, Kind.EXPIRED, Kind.VOIDED):
        assert lived(last).exposed_share == "NOTHING"
