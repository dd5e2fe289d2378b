"""Grades of a device that is sold, conditions of a device that is traded in, and the rule between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property


class Grade(IntEnum):
    """How worn a device is when it is sold, worst first: a higher grade never sells for less."""

    PARTS = 0
    FAIR = 1
    GOOD = 2
    EXCELLENT = 3
    PREMIUM = 4
    NEW = 5


# Paraphrased from the help pages of Back Market, which also say: all of FAIR to PREMIUM work 100 %.
MEANING: Mapping[Grade, str] = {
    Grade.PARTS: "Does not work, or is sold as it is for its parts.",
    Grade.FAIR: "Visible scratches or dents; scratches on the screen are slightly visible when it is on.",
    Grade.GOOD: "Light scratches that cannot be seen at 50 cm; a clean screen.",
    Grade.EXCELLENT: "Micro-scratches that cannot be seen at 20 cm; a clean screen.",
    Grade.PREMIUM: "Flawless, with parts of the maker only.",
    Grade.NEW: "Never used.",
}


class Condition(StrEnum):
    """How worn a device is when it is traded in, best first (the words of the Back Market seller API)."""

    FUNCTIONAL_FLAWLESS = "FUNCTIONAL_FLAWLESS"
    FUNCTIONAL_GOOD = "FUNCTIONAL_GOOD"
    FUNCTIONAL_USED = "FUNCTIONAL_USED"
    FUNCTIONAL_CRACKED = "FUNCTIONAL_CRACKED"
    NOT_FUNCTIONAL_USED = "NOT_FUNCTIONAL_USED"
    NOT_FUNCTIONAL_CRACKED = "NOT_FUNCTIONAL_CRACKED"


_SOLD_AS: Mapping[Condition, Grade] = {
    Condition.FUNCTIONAL_FLAWLESS: Grade.EXCELLENT,
    Condition.FUNCTIONAL_GOOD: Grade.GOOD,
    Condition.FUNCTIONAL_USED: Grade.FAIR,
    Condition.FUNCTIONAL_CRACKED: Grade.FAIR,
    Condition.NOT_FUNCTIONAL_USED: Grade.FAIR,
    Condition.NOT_FUNCTIONAL_CRACKED: Grade.FAIR,
}


def sold_as(condition: Condition) -> Grade:
    """The grade at which a device traded in like this sells once it is repaired and refurbished.

    Never PREMIUM: that needs the maker's own parts, which nobody can promise from a few questions.
    """
    return _SOLD_AS[condition]


def bought_as(grade: Grade) -> Condition | None:
    """The best condition that sells at this grade or below; None for PARTS, which is not refurbished."""
    return next((condition for condition in Condition if sold_as(condition) <= grade), None)


class Wear(StrEnum):
    """What an owner says about the screen or the body; a CRACKED body is a broken or bent one."""

    FLAWLESS = "FLAWLESS"
    LIGHT = "LIGHT"
    VISIBLE = "VISIBLE"
    CRACKED = "CRACKED"


class AnswersError(ValueError):
    """An answer that cannot be."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What an owner says about a device.

    `battery_health` is a share of the new capacity, None if unknown. `accessories` says whether all that came
    with the device is there, None if that was not asked or not told.

    Raises AnswersError for a battery health outside 0..1.
    """

    powers_on: bool
    fully_functional: bool
    screen: Wear
    body: Wear
    battery_health: float | None
    carrier_locked: bool
    activation_locked: bool
    blacklisted: bool
    accessories: bool | None = None

    def __post_init__(self) -> None:
        if self.battery_health is not None and not 0 <= self.battery_health <= 1:
            raise AnswersError(
                f"A battery health of {self.battery_health!r} cannot be: give a share from 0 to 1."
            )


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why something was decided: a code for programs and a sentence for people."""

    code: str
    sentence: str


class Verdict(StrEnum):
    """What a rule that applies makes of the device."""

    REFUSED = "REFUSED"
    NOT_FUNCTIONAL = "NOT_FUNCTIONAL"
    CRACKED = "CRACKED"
    USED = "USED"
    GOOD = "GOOD"
    NOTED = "NOTED"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the published rule."""

    code: str
    verdict: Verdict
    sentence: str
    applies: Callable[[Answers], bool]

    @cached_property
    def reason(self) -> Reason:
        """The rule as a reason."""
        return Reason(code=self.code, sentence=self.sentence)


def _rule(code: str, verdict: Verdict, sentence: str, applies: Callable[[Answers], bool]) -> Rule:
    return Rule(code=code, verdict=verdict, sentence=sentence, applies=applies)


# The published rule, in order. Among the rules that apply, the worst verdict on function and the worst one on
# wear make the condition; a device to which none applies is FUNCTIONAL_FLAWLESS.
RULES: tuple[Rule, ...] = (
    _rule(
        "ACTIVATION_LOCKED",
        Verdict.REFUSED,
        "It is locked to its owner's account: remove the lock first.",
        lambda a: a.activation_locked,
    ),
    _rule("BLACKLISTED", Verdict.REFUSED, "It is reported lost or stolen.", lambda a: a.blacklisted),
    _rule("NO_POWER", Verdict.NOT_FUNCTIONAL, "It does not switch on.", lambda a: not a.powers_on),
    _rule(
        "FAULT", Verdict.NOT_FUNCTIONAL, "Something on it does not work.", lambda a: not a.fully_functional
    ),
    _rule("SCREEN_CRACKED", Verdict.CRACKED, "The screen is cracked.", lambda a: a.screen == Wear.CRACKED),
    _rule("BODY_BROKEN", Verdict.CRACKED, "The body is broken or bent.", lambda a: a.body == Wear.CRACKED),
    _rule(
        "SCREEN_WORN", Verdict.USED, "The screen has visible scratches.", lambda a: a.screen == Wear.VISIBLE
    ),
    _rule("BODY_WORN", Verdict.USED, "The body has visible scratches.", lambda a: a.body == Wear.VISIBLE),
    _rule("SCREEN_LIGHT", Verdict.GOOD, "The screen has light scratches.", lambda a: a.screen == Wear.LIGHT),
    _rule("BODY_LIGHT", Verdict.GOOD, "The body has light scratches.", lambda a: a.body == Wear.LIGHT),
    _rule("CARRIER_LOCKED", Verdict.NOTED, "It is locked to a carrier.", lambda a: a.carrier_locked),
    _rule(
        "ACCESSORIES_MISSING",
        Verdict.NOTED,
        "Something that came with it is missing.",
        lambda a: a.accessories is False,
    ),
)
FLAWLESS = Reason(code="FLAWLESS", sentence="It works and shows no wear.")


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the rule makes of some answers; `blocked` holds the codes of the rules that refuse the device."""

    condition: Condition
    reasons: tuple[Reason, ...]
    blocked: tuple[str, ...]


def assess(*, answers: Answers, battery_floor: Mapping[Grade, float]) -> Assessment:
    """Apply the published rule, then the market's battery floors (shares, by the grade that is sold).

    A battery below the floor of its grade lowers a device that works to the best grade whose floor it meets,
    and at worst to FUNCTIONAL_USED, where the battery is replaced. An unknown battery lowers nothing. Every
    rule that applies is a reason; there is always one.
    """
    applying = [rule for rule in RULES if rule.applies(answers)]
    worn = _condition({rule.verdict for rule in applying})
    condition = _lowered_by_battery(worn, answers.battery_health, battery_floor)
    reasons = [rule.reason for rule in applying]
    if condition != worn:
        sentence = f"The battery holds less than {battery_floor[sold_as(worn)]:.0%} of its capacity."
        reasons.append(Reason(code="BATTERY_BELOW_FLOOR", sentence=sentence))
    blocked = tuple(rule.code for rule in applying if rule.verdict == Verdict.REFUSED)
    return Assessment(condition=condition, reasons=tuple(reasons) or (FLAWLESS,), blocked=blocked)


def refusals(*, blocked: tuple[str, ...]) -> tuple[Reason, ...]:
    """The reasons behind the codes of an Assessment's `blocked`, in the rule's order.

    Raises AnswersError for a code that no refusing rule has.
    """
    known = {rule.code: rule for rule in RULES if rule.verdict == Verdict.REFUSED}
    if unknown := sorted(set(blocked) - set(known)):
        raise AnswersError(
            f"No rule refuses a device for {', '.join(unknown)}: known are {', '.join(known)}."
        )
    return tuple(Reason(code=code, sentence=known[code].sentence) for code in known if code in blocked)


def _condition(verdicts: set[Verdict]) -> Condition:
    """The condition that a set of verdicts adds up to."""
    if Verdict.NOT_FUNCTIONAL in verdicts:
        cracked = Verdict.CRACKED in verdicts
        return Condition.NOT_FUNCTIONAL_CRACKED if cracked else Condition.NOT_FUNCTIONAL_USED
    for verdict in (Verdict.CRACKED, Verdict.USED, Verdict.GOOD):
        if verdict in verdicts:
            return Condition(f"FUNCTIONAL_{verdict}")
    return Condition.FUNCTIONAL_FLAWLESS


def _lowered_by_battery(worn: Condition, health: float | None, floor: Mapping[Grade, float]) -> Condition:
    whole = (Condition.FUNCTIONAL_FLAWLESS, Condition.FUNCTIONAL_GOOD, Condition.FUNCTIONAL_USED)
    if health is None or worn not in whole:
        return worn
    fitting = (condition for condition in whole[whole.index(worn) :] if health >= floor[sold_as(condition)])
    return next(fitting, Condition.FUNCTIONAL_USED)
