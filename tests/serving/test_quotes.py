"""Laws of the quote store, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from serving import promise
from serving.batch import ClockWentBack
from serving.database import Database, StoreUnavailable
from serving.life import Kind, Status, WrongStatus
from serving.promise import CapReached, KeyReused, OtherUnit, QuoteUnknown, UnitTaken
from serving.quotes import Expiry, Quotes
from serving.tables import EVENTS, EXPOSURES, QUOTES
from tests.serving.stores import AT, CAP, a_quote, given, happen, issue, the_key

UNIT, OTHER = "1" * 64, "2" * 64


def exposed(store: Quotes) -> int:
    with store.database.reading() as connection:
        return connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(EXPOSURES.c.exposed_minor), 0)))


def test_a_quote_is_found_as_it_was_kept(store: Quotes) -> None:
    quote = given(store)
    found = store.find(quote_id=quote.quote_id)
    assert found is not None
    assert (found.quote, found.life) == (quote, quote.issued())
    assert store.answered(key=the_key("k")) == quote.reply


def test_a_quote_survives_a_restart(store: Quotes, store_url: str) -> None:
    quote = given(store)
    happen(store, quote, Kind.ACCEPTED, "a").result(10)
    store.close()
    again = Quotes(database=Database(url=store_url))
    found = again.find(quote_id=quote.quote_id)
    assert found and found.quote == quote and found.life.status(at=AT) == Status.ACCEPTED
    again.close()


def test_what_is_unknown_is_none(store: Quotes) -> None:
    assert store.find(quote_id="0" * 32) is None
    assert store.answered(key=the_key("k")) is None
    with pytest.raises(QuoteUnknown):
        happen(store, a_quote(), Kind.ACCEPTED, "a").result(10)


def test_the_first_quote_under_a_key_is_the_one(store: Quotes) -> None:
    first = given(store)
    again = a_quote(reply=b"another")
    assert store.write(issue(again)).result(10) == first.reply
    assert store.find(quote_id=again.quote_id) is None


def test_a_key_used_for_another_request_is_refused(store: Quotes) -> None:
    quote = given(store)
    with pytest.raises(KeyReused):
        store.write(issue(a_quote(request=b'{"a":2}'))).result(10)
    with pytest.raises(KeyReused):
        happen(store, quote, Kind.ACCEPTED, "k").result(10)
    with pytest.raises(KeyReused):
        store.answered(key=the_key("k", b'{"a":2}'))


def test_the_same_key_of_two_callers_is_two_keys(store: Quotes) -> None:
    for caller in ("", "shop", "other"):
        quote = a_quote(caller=caller)
        store.write(issue(quote, caller=caller)).result(10)
        assert store.find(quote_id=quote.quote_id)


def test_one_key_from_many_threads_is_one_quote(store: Quotes) -> None:
    with ThreadPoolExecutor(8) as pool:
        quotes = [a_quote(reply=f"{number}".encode()) for number in range(40)]
        replies = {future.result(10) for future in pool.map(lambda quote: store.write(issue(quote)), quotes)}
    assert len(replies) == 1
    assert sum(store.find(quote_id=quote.quote_id) is not None for quote in quotes) == 1


def test_the_key_itself_is_not_kept(store: Quotes) -> None:
    given(store, key="anna@example.org")
    with store.database.reading() as connection:
        rows = [*connection.execute(QUOTES.select()), *connection.execute(EVENTS.select())]
    assert "anna" not in repr(rows)


def test_a_quote_is_accepted_exactly_once_under_any_race(store: Quotes) -> None:
    quote = given(store)
    with ThreadPoolExecutor(32) as pool:
        tried = list(pool.map(lambda number: happen(store, quote, Kind.ACCEPTED, f"a{number}"), range(64)))
    refused = [future.exception(10) for future in tried]
    assert refused.count(None) == 1
    assert all(isinstance(error, WrongStatus) for error in refused if error)


def test_a_step_asked_twice_with_one_key_is_one_step_and_one_answer(store: Quotes) -> None:
    quote = given(store)
    first = happen(store, quote, Kind.ACCEPTED, "a").result(10)
    later = happen(store, quote, Kind.ACCEPTED, "a", at=AT + timedelta(days=30)).result(10)
    assert later == first
    found = store.find(quote_id=quote.quote_id)
    assert found and [event.kind for event in found.life.events] == [Kind.ISSUED, Kind.ACCEPTED]


def test_the_money_of_a_life_is_kept_event_by_event(store: Quotes) -> None:
    quote = given(store)
    happen(store, quote, Kind.ACCEPTED, "a").result(10)
    happen(store, quote, Kind.INSPECTED, "i", amount=9000).result(10)
    happen(store, quote, Kind.REQUOTED, "r", amount=9000).result(10)
    happen(store, quote, Kind.ACCEPTED, "y", amount=9000).result(10)
    happen(store, quote, Kind.PAID, "p", amount=9000).result(10)
    found = store.find(quote_id=quote.quote_id)
    assert found and [event.amount_minor for event in found.life.events] == [
        12900,
        12900,
        9000,
        9000,
        9000,
        9000,
    ]


# --- one live quote for each unit


def test_one_unit_has_one_open_quote(store: Quotes) -> None:
    first = given(store, unit=UNIT)
    for number in range(5):
        with pytest.raises(UnitTaken):
            store.write(issue(a_quote(), f"again {number}", unit=UNIT)).result(10)
    assert given(store, key="another", unit=OTHER)
    happen(store, first, Kind.VOIDED, "v", amount=0).result(10)
    assert given(store, key="after", unit=UNIT)


def test_a_unit_is_free_again_when_its_quote_has_expired(store: Quotes) -> None:
    first = given(store, unit=UNIT)
    later = first.expires_at
    assert given(store, key="after", unit=UNIT, quoted_at=later, expires_at=later + timedelta(days=14))


def test_a_unit_that_was_refused_may_be_asked_about_again(store: Quotes) -> None:
    given(store, unit=UNIT, decision="REVIEW", offer_minor=0, expected_minor=0)
    assert given(store, key="again", unit=UNIT)


def test_a_unit_told_at_acceptance_must_be_the_quotes_and_free(store: Quotes) -> None:
    one, two = given(store, key="one", unit=UNIT), given(store, key="two")
    with pytest.raises(UnitTaken):
        happen(store, two, Kind.ACCEPTED, "a", unit=UNIT).result(10)
    with pytest.raises(OtherUnit):
        happen(store, one, Kind.ACCEPTED, "b", unit=OTHER).result(10)
    happen(store, one, Kind.ACCEPTED, "c", unit=UNIT).result(10)


def test_a_unit_asked_for_in_one_batch_is_given_one_quote(store: Quotes) -> None:
    tried = [store.write(issue(a_quote(), f"{number}", unit=UNIT)) for number in range(50)]
    assert [future.exception(10) for future in tried].count(None) == 1


# --- what may still have to be paid


def test_no_more_is_promised_for_a_model_than_the_cap(store: Quotes) -> None:
    cap = 12900 + 4000
    tried = [store.write(issue(a_quote(), f"{number}", cap=cap)) for number in range(20)]
    errors = [future.exception(10) for future in tried]
    assert errors.count(None) == 2
    assert {error.exposed_minor for error in errors if isinstance(error, CapReached)} == {8000}


def test_what_is_exposed_follows_the_life(store: Quotes) -> None:
    quote = given(store)
    assert exposed(store) == 4000
    happen(store, quote, Kind.ACCEPTED, "a").result(10)
    assert exposed(store) == 12900
    happen(store, quote, Kind.INSPECTED, "i", amount=9000).result(10)
    assert exposed(store) == 12900
    happen(store, quote, Kind.PAID, "p", amount=9000).result(10)
    assert exposed(store) == 0


def test_expired_offers_are_written_down_once_and_exposed_no_more(store: Quotes) -> None:
    quotes = [given(store, key=f"{number}") for number in range(5)]
    happen(store, quotes[0], Kind.ACCEPTED, "a").result(10)
    end = quotes[0].expires_at
    assert store.expired(after=AT, at=end - timedelta(milliseconds=1)) == []
    found = store.expired(after=AT, at=end)
    assert sorted(found) == sorted(quote.quote_id for quote in quotes[1:])
    assert store.write(Expiry(quote_ids=found, at=end)).result(10) == 4
    assert store.write(Expiry(quote_ids=found, at=end)).result(10) == 0
    assert store.expired(after=AT, at=end) == []
    assert exposed(store) == 12900


# --- the clock


def test_a_clock_that_went_back_promises_nothing(store: Quotes) -> None:
    given(store)
    back = AT - timedelta(seconds=6)
    with pytest.raises(ClockWentBack):
        store.write(issue(a_quote(quoted_at=back), "k2")).result(10)
    assert given(store, key="k3", quoted_at=AT - timedelta(seconds=4))


# --- what the database itself holds


@pytest.mark.parametrize("table", ["quotes", "events"])
@pytest.mark.parametrize("change", ["UPDATE {} SET quote_id = 'x'", "DELETE FROM {}"])
def test_what_was_promised_is_never_changed_nor_deleted(store: Quotes, table: str, change: str) -> None:
    given(store)
    with pytest.raises(StoreUnavailable) as refused, store.database.writing() as connection:
        connection.exec_driver_sql(change.format(table))
    assert "never changed" in str(refused.value.__cause__)


WRONG: list[dict[str, Any]] = [
    {"offer_minor": -1},
    {"offer_minor": 10**15 + 1},
    {"decision": "MAYBE"},
    {"market": "gb"},
    {"currency": "GB"},
    {"model_digest": "d"},
    {"quote_id": "Z" * 32},
    {"expires_at": AT},
    {"reply": b""},
    {"expected_minor": 12901},
]


@pytest.mark.parametrize("change", WRONG, ids=[next(iter(change)) for change in WRONG])
def test_the_store_itself_refuses_what_is_no_quote_and_keeps_the_others(
    store: Quotes, change: dict[str, Any]
) -> None:
    wrong, good = a_quote(**change), a_quote()
    futures = [store.write(issue(wrong, "w", cap=10**18)), store.write(issue(good, "g"))]
    assert isinstance(futures[0].exception(10), StoreUnavailable)
    assert futures[1].result(10) == good.reply
    assert store.find(quote_id=wrong.quote_id) is None


def test_a_work_that_nobody_waits_for_any_more_is_left_out(store: Quotes) -> None:
    with store.database.writing():
        held = [store.write(issue(a_quote(), f"{number}")) for number in range(2)]
        gone = a_quote()
        future = store.write(issue(gone, "gone"))
        assert future.cancel()
    for each in held:
        each.exception(10)
    assert store.find(quote_id=gone.quote_id) is None


def test_ids_are_not_to_be_guessed() -> None:
    ids = {promise.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 32 for one in ids)


def test_a_quote_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_quote().offer_minor = CAP  # type: ignore[misc]


def test_what_a_batch_reads_does_not_grow_with_what_it_is_about(store: Quotes) -> None:
    asked: list[str] = []
    sa.event.listen(store.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    def statements(quotes: list[promise.Quote]) -> int:
        asked.clear()
        at = max(each.expires_at for each in quotes)
        work = Expiry(quote_ids=[each.quote_id for each in quotes], at=at)
        assert store.write(work).result() == len(quotes)
        return len(asked)

    few, many = (
        [given(store, key=f"{count} {n}", exposure=f"GB {n}") for n in range(count)] for count in (2, 40)
    )
    assert statements(few) == statements(many) <= 10
