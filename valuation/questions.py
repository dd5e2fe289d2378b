"""Questions: what is asked about a device, by category, and which answers count once it is inspected.

The questions are in questions.toml, in order, in the languages of the markets; grades.RULES says what their
answers lead to, and docs/questions.md publishes both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from valuation.catalogue import CATEGORIES
from valuation.grades import Answers, AnswersError, Wear

FILE = Path(__file__).parent / "questions.toml"
REQUOTE_FOR = ("seen", "all")  # the rules of counted, by which a worse finding may lower a re-quote

# By kind, what an answer is called in the file and what it is in Answers; a share may also be any number 0..1.
_VALUES: Mapping[str, Mapping[str, Any]] = {
    "yes_no": {"yes": True, "no": False},
    "wear": Wear.__members__,
    "share": {"unknown": None},
}
_KIND_OF_TYPE = {bool: "yes_no", bool | None: "yes_no", Wear: "wear", float | None: "share"}
KINDS = {field: _KIND_OF_TYPE[hint] for field, hint in get_type_hints(Answers).items()}

# What counts where nothing is asked, and where nothing need be told: the best, or not known.
WHOLE = Answers(
    powers_on=True,
    fully_functional=True,
    screen=Wear.FLAWLESS,
    body=Wear.FLAWLESS,
    battery_health=None,
    carrier_locked=False,
    activation_locked=False,
    blacklisted=False,
    accessories=None,
)
_BEST = replace(WHOLE, battery_health=1.0, accessories=True)
# These refuse the device, whoever could have known of them: nobody may buy what belongs to somebody else.
_ALWAYS_COUNT = frozenset({"activation_locked", "blacklisted"})


class QuestionsError(ValueError):
    """The file of questions breaks rules; `problems` has one sentence for each, with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer that may be chosen, with its text by language; a `value` of None says that it is not known."""

    value: bool | Wear | None
    texts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question, for some categories, with its text by language.

    `field` is the one of Answers that it fills; `kind` is yes_no, wear or share, and a share may be any number
    0..1 beside its `answers`. `visible`: whether the customer can see the answer himself.
    """

    field: str
    kind: str
    categories: tuple[str, ...]
    visible: bool
    texts: Mapping[str, str]
    answers: tuple[Answer, ...]


def of(*, category: str) -> tuple[Question, ...]:
    """The questions of a category of the catalogue, in order. Raises AnswersError for another category."""
    if category not in CATEGORIES:
        raise AnswersError(f"No questions for {category!r:.40}: known are {', '.join(CATEGORIES)}.")
    return tuple(question for question in QUESTIONS if category in question.categories)


def language(*, locale: str) -> str:
    """The language of the questions for a locale: fr for fr_FR. Raises AnswersError where they are in none."""
    if (code := locale.split("_")[0]) not in LANGUAGES:
        raise AnswersError(
            f"The questions are not written in {code!r:.20}: known are {', '.join(LANGUAGES)}. "
            f"Add its texts to valuation/{FILE.name}."
        )
    return code


def whole(*, category: str, told: Mapping[str, Any]) -> Answers:
    """Complete what an owner told, by field of Answers, with what counts where a category is not asked.

    A battery health and accessories may be left out where they are asked. What is told unasked counts. Raises
    AnswersError for another answer left out, a field or category that is not known, and an answer that cannot be.
    """
    if unknown := sorted(set(told) - set(KINDS)):
        raise AnswersError(f"No question fills {', '.join(unknown)}: known are {', '.join(KINDS)}.")
    if missing := untold(category=category, told=told):
        raise AnswersError(f"An offer for a {category} also needs an answer to: {', '.join(missing)}.")
    return replace(WHOLE, **told)


def untold(*, category: str, told: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the fields whose questions of a category need an answer that is not among those told."""
    asked = [question.field for question in of(category=category)]
    return tuple(name for name in asked if name not in told and getattr(WHOLE, name) is not None)


def counted(*, declared: Answers, found: Answers, category: str, rule: str) -> Answers:
    """Say, field by field, what counts after an inspection: what was declared or what was found.

    A better finding always counts, and so does a lock or a report of loss. A worse one, and one about what was
    not told, counts where the category's question is visible to the customer or the rule is "all" (see
    Terms.requote_for). A finding of None is none. Raises AnswersError for a rule that is not in REQUOTE_FOR.
    """
    if rule not in REQUOTE_FOR:
        raise AnswersError(f"No rule {rule!r:.40} says what counts: known are {', '.join(REQUOTE_FOR)}.")
    seen = {question.field for question in of(category=category) if question.visible}
    counting = set(KINDS) if rule == "all" else seen | _ALWAYS_COUNT
    return replace(
        declared,
        **{
            field.name: getattr(found, field.name)
            for field in fields(Answers)
            if _counts(field.name, declared, found, worse=field.name in counting)
        },
    )


def _counts(field: str, declared: Answers, found: Answers, *, worse: bool) -> bool:
    """Whether a finding replaces what was declared; `worse`: whether it would if it is worse or was not told."""
    told, finding = getattr(declared, field), getattr(found, field)
    if finding is None:
        return False
    return worse or (told is not None and _goodness(field, finding) > _goodness(field, told))


def _goodness(field: str, value: Any) -> float:
    """How good an answer is, beside others of its field."""
    if isinstance(value, Wear):
        return -list(Wear).index(value)
    return value if isinstance(value, float) else float(value == getattr(_BEST, field))


def load(*, path: Path) -> tuple[tuple[str, ...], tuple[Question, ...]]:
    """Read and check a file of questions: its languages and its questions. QuestionsError lists the problems."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise QuestionsError([f"{path.name} is no TOML file: {error}"]) from error
    # Each check takes for granted what those before it hold.
    for check in (_wrong_top, _wrong_sets, _wrong_questions, _asked_twice):
        if problems := [f"{path.name}, {problem}" for problem in check(document)]:
            raise QuestionsError(problems)
    questions = tuple(_question(written, document["answers"]) for written in document["question"])
    return tuple(document["languages"]), questions


def _question(written: Mapping[str, Any], sets: Mapping[str, Any]) -> Question:
    chosen = sets[written["answers"]]
    values = _VALUES[chosen["kind"]]
    return Question(
        field=written["field"],
        kind=chosen["kind"],
        categories=tuple(written["categories"]),
        visible=written["visible"],
        texts=written["texts"],
        answers=tuple(Answer(value=values[name], texts=chosen["texts"][name]) for name in values),
    )


def _wrong_top(document: Mapping[str, Any]) -> Iterator[str]:
    kinds = {"languages": list, "answers": dict, "question": list}
    if problem := _not_exactly(document, tuple(kinds)):
        yield f"its top: {problem}"
        return
    wrong = (
        name for name, kind in kinds.items() if not isinstance(document[name], kind) or not document[name]
    )
    yield from (f"{name}: should not be {document[name]!r:.40}; see the file in use" for name in wrong)


def _wrong_sets(document: Mapping[str, Any]) -> Iterator[str]:
    for name, written in document["answers"].items():
        yield from (f"answers.{name}: {wrong}" for wrong in _wrong_answers(written, document["languages"]))


def _wrong_questions(document: Mapping[str, Any]) -> Iterator[str]:
    for number, written in enumerate(document["question"], start=1):
        yield from (f"question {number}: {wrong}" for wrong in _wrong_question(written, document))


def _wrong_answers(written: Any, languages: Sequence[str]) -> Iterator[str]:
    if problem := _not_exactly(written, ("kind", "texts")):
        yield problem
    elif written["kind"] not in list(_VALUES):
        yield f"kind: {written['kind']!r} should be one of {', '.join(_VALUES)}"
    elif problem := _not_exactly(written["texts"], tuple(_VALUES[written["kind"]])):
        yield f"texts: {problem}"
    else:
        for name, texts in written["texts"].items():
            yield from (f"texts.{name}: {problem}" for problem in _wrong_texts(texts, languages))


def _wrong_question(written: Any, document: Mapping[str, Any]) -> Iterator[str]:
    if problem := _not_exactly(written, ("field", "answers", "categories", "visible", "texts")):
        yield problem
        return
    field, answers, categories = written["field"], written["answers"], written["categories"]
    if field not in list(KINDS):
        yield f"field: {field!r} should be one of {', '.join(KINDS)}"
    elif answers not in (
        fitting := [n for n, of in document["answers"].items() if of["kind"] == KINDS[field]]
    ):
        yield f"answers: {answers!r} should be of the kind {KINDS[field]}: {', '.join(fitting) or 'none'}"
    if not isinstance(categories, list) or not categories or not all(of in CATEGORIES for of in categories):
        yield f"categories: {categories!r} should be a list of some of {', '.join(CATEGORIES)}"
    if not isinstance(written["visible"], bool):
        yield f"visible: {written['visible']!r} should be true or false"
    yield from (f"texts: {wrong}" for wrong in _wrong_texts(written["texts"], document["languages"]))


def _wrong_texts(written: Any, languages: Sequence[str]) -> Iterator[str]:
    if problem := _not_exactly(written, tuple(languages)):
        yield problem
    else:
        blank = (
            code for code in languages if not isinstance(written[code], str) or not written[code].strip()
        )
        yield from (f"{code}: {written[code]!r} should be a text" for code in blank)


def _not_exactly(written: Any, keys: tuple[str, ...]) -> str:
    """What is wrong where a table has other keys; empty where it has these."""
    right = isinstance(written, dict) and set(written) == set(keys)
    return "" if right else f"should be a table with exactly {', '.join(keys)}"


def _asked_twice(document: Mapping[str, Any]) -> Iterator[str]:
    asked: set[tuple[str, str]] = set()
    for number, written in enumerate(document["question"], start=1):
        for category in written["categories"]:
            if (key := (written["field"], category)) in asked:
                yield f"question {number}: {written['field']} is asked twice of {category}; keep one of them"
            asked.add(key)


LANGUAGES, QUESTIONS = load(path=FILE)
