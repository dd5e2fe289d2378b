"""Questions: complete in every category and language, and what counts of their answers after an inspection."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuation import grades, markets, questions
from valuation.catalogue import CATEGORIES
from valuation.grades import Answers, AnswersError, Condition, Grade, Wear

FIELDS = [field.name for field in fields(Answers)]
FLOOR = {Grade.FAIR: 0.80, Grade.GOOD: 0.80, Grade.EXCELLENT: 0.85, Grade.PREMIUM: 0.90}
RANK = list(Condition)
PROMISED = {"activation_locked", "blacklisted"}  # a locked or lost device is never bought

every_category = pytest.mark.parametrize("category", CATEGORIES)


def asked_of(category):
    return [question.field for question in questions.of(category=category)]


def visible_in(category):
    return {question.field for question in questions.of(category=category) if question.visible}


# What is asked.


@every_category
def test_every_category_is_asked_in_the_language_of_every_market(category):
    for market in markets.markets():
        history = markets.load(path=markets.TERMS / f"{market.lower()}.toml").history["language"]
        for locale in (entry.value for entry in history):
            lang = questions.language(locale=locale)
            for question in questions.of(category=category):
                texts = [question.texts[lang], *(answer.texts[lang] for answer in question.answers)]
                assert all(text.strip() for text in texts)


def test_the_five_languages_of_the_six_markets_are_written():
    assert set(questions.LANGUAGES) >= {"en", "fr", "de", "pl", "sv"}


def test_no_language_is_a_copy_of_another():
    for question in questions.QUESTIONS:
        assert len(set(question.texts.values())) == len(questions.LANGUAGES)


@every_category
def test_a_category_is_asked_each_thing_once_and_in_the_same_order(category):
    asked = asked_of(category)
    assert asked == [name for name in FIELDS if name in asked]


def test_every_field_of_the_answers_is_asked_somewhere():
    assert {question.field for question in questions.QUESTIONS} == set(FIELDS)


def test_every_rule_is_reached_by_an_answer_that_can_be_chosen():
    reached = set()
    for question in questions.QUESTIONS:
        for answer in question.answers:
            answers = replace(questions.WHOLE, **{question.field: answer.value})
            reached |= {rule.code for rule in grades.RULES if rule.applies(answers)}
    assert reached == {rule.code for rule in grades.RULES}


@every_category
def test_every_category_is_asked_whether_it_works_how_it_looks_whose_it_is_and_what_comes_with_it(category):
    assert set(asked_of(category)) >= {
        "powers_on",
        "fully_functional",
        "body",
        "blacklisted",
        "accessories",
    }


@pytest.mark.parametrize(
    ("field", "categories"),
    [
        ("screen", {"smartphone", "tablet", "laptop", "smartwatch"}),
        ("battery_health", {"smartphone", "tablet", "laptop", "smartwatch"}),
        ("activation_locked", {"smartphone", "tablet", "laptop", "smartwatch"}),
        ("carrier_locked", {"smartphone", "tablet", "smartwatch"}),
    ],
)
def test_a_question_is_asked_only_where_it_makes_sense(field, categories):
    assert {category for category in CATEGORIES if field in asked_of(category)} == categories


@every_category
def test_hidden_faults_and_reports_of_loss_are_all_that_a_customer_cannot_see(category):
    assert set(asked_of(category)) - visible_in(category) == {"fully_functional", "blacklisted"}


def test_a_category_that_is_none_is_named_beside_those_that_are():
    with pytest.raises(AnswersError, match="No questions for 'toaster': known are smartphone, tablet"):
        questions.of(category="toaster")


def test_a_locale_that_no_question_is_written_in_says_where_to_add_it():
    with pytest.raises(AnswersError, match=r"not written in 'it': known are en, .* valuation/questions.toml"):
        questions.language(locale="it_IT")


# What counts where nothing was told.


def test_what_nobody_asked_is_no_reason_against_a_device():
    assessed = grades.assess(answers=questions.WHOLE, battery_floor=FLOOR)
    assert (assessed.condition, assessed.reasons) == (Condition.FUNCTIONAL_FLAWLESS, (grades.FLAWLESS,))


@every_category
def test_the_best_answers_to_all_that_is_asked_make_a_flawless_device(category):
    told = {name: getattr(questions.WHOLE, name) for name in asked_of(category)}
    assert questions.whole(category=category, told=told) == questions.WHOLE


@every_category
def test_battery_and_accessories_need_not_be_told_and_all_else_that_is_asked_must_be(category):
    told = {name: getattr(questions.WHOLE, name) for name in asked_of(category)}
    for name in told:
        rest = {other: value for other, value in told.items() if other != name}
        if name in ("battery_health", "accessories"):
            assert getattr(questions.whole(category=category, told=rest), name) is None
        else:
            with pytest.raises(AnswersError, match=f"An offer for a {category} also needs .*: {name}"):
                questions.whole(category=category, told=rest)


def test_what_is_told_counts_even_where_it_is_not_asked():
    told = {name: getattr(questions.WHOLE, name) for name in asked_of("console")}
    answers = questions.whole(category="console", told=told | {"screen": Wear.CRACKED})
    assert answers == replace(questions.WHOLE, screen=Wear.CRACKED)


def test_an_answer_to_no_question_is_refused():
    with pytest.raises(AnswersError, match="No question fills colour: known are powers_on"):
        questions.whole(category="console", told={"colour": "red"})


# What counts after an inspection.

shares = st.sampled_from([0.0, 0.5, 0.79, 0.8, 0.84, 0.85, 0.9, 1.0])
answers = st.builds(
    Answers,
    powers_on=st.booleans(),
    fully_functional=st.booleans(),
    screen=st.sampled_from(Wear),
    body=st.sampled_from(Wear),
    battery_health=st.none() | shares,
    carrier_locked=st.booleans(),
    activation_locked=st.booleans(),
    blacklisted=st.booleans(),
    accessories=st.none() | st.booleans(),
)
categories = st.sampled_from(CATEGORIES)
rules = st.sampled_from(questions.REQUOTE_FOR)


def goodness(field, value):
    """How good an answer is beside others of its field: written out, not taken from the code under test."""
    if isinstance(value, Wear):
        return {"FLAWLESS": 3, "LIGHT": 2, "VISIBLE": 1, "CRACKED": 0}[value]
    if field == "battery_health":
        return value
    return value if field in ("powers_on", "fully_functional", "accessories") else not value


@given(answers, categories, rules)
def test_a_device_found_as_declared_counts_as_declared(declared, category, rule):
    counted = questions.counted(declared=declared, found=declared, category=category, rule=rule)
    assert counted == declared


@given(answers, answers, categories)
def test_where_everything_counts_what_was_found_counts(declared, found, category):
    counted = questions.counted(declared=declared, found=found, category=category, rule="all")
    for name in FIELDS:
        finding = getattr(found, name)
        assert getattr(counted, name) == (getattr(declared, name) if finding is None else finding)


@given(answers, answers, categories, rules)
def test_a_better_finding_always_counts(declared, found, category, rule):
    counted = questions.counted(declared=declared, found=found, category=category, rule=rule)
    for name in FIELDS:
        told, finding = getattr(declared, name), getattr(found, name)
        if None not in (told, finding) and goodness(name, finding) > goodness(name, told):
            assert getattr(counted, name) == finding


@given(answers, answers, categories)
def test_a_worse_finding_counts_only_where_the_customer_could_have_seen_it(declared, found, category):
    counted = questions.counted(declared=declared, found=found, category=category, rule="seen")
    for name in FIELDS:
        told, finding = getattr(declared, name), getattr(found, name)
        if None not in (told, finding) and goodness(name, finding) < goodness(name, told):
            seen = name in visible_in(category) | PROMISED
            assert getattr(counted, name) == (finding if seen else told)


@given(answers, answers, categories)
def test_what_was_not_told_counts_as_found_only_where_the_customer_could_have_seen_it(
    declared, found, category
):
    untold = replace(declared, battery_health=None, accessories=None)
    counted = questions.counted(declared=untold, found=found, category=category, rule="seen")
    for name in ("battery_health", "accessories"):
        assert getattr(counted, name) == (getattr(found, name) if name in visible_in(category) else None)


@given(answers, answers, categories, rules)
def test_a_lock_or_a_report_of_loss_that_is_found_always_refuses_the_device(declared, found, category, rule):
    counted = questions.counted(declared=declared, found=found, category=category, rule=rule)
    blocked = grades.assess(answers=found, battery_floor=FLOOR).blocked
    assert grades.assess(answers=counted, battery_floor=FLOOR).blocked == blocked


@given(answers, answers, categories)
def test_what_the_customer_could_not_see_never_leads_to_a_worse_condition(declared, found, category):
    kind, strict = (
        questions.counted(declared=declared, found=found, category=category, rule=rule)
        for rule in ("seen", "all")
    )
    ranks = [
        RANK.index(grades.assess(answers=counted, battery_floor=FLOOR).condition)
        for counted in (kind, strict)
    ]
    assert ranks[0] <= ranks[1]


@pytest.mark.parametrize(
    ("category", "rule", "found", "counted"),
    [
        ("smartphone", "seen", {"screen": Wear.CRACKED}, {"screen": Wear.CRACKED}),
        ("smartphone", "seen", {"fully_functional": False}, {}),
        ("smartphone", "all", {"fully_functional": False}, {"fully_functional": False}),
        ("smartphone", "seen", {"blacklisted": True}, {"blacklisted": True}),
        ("smartphone", "seen", {"battery_health": 0.7}, {"battery_health": 0.7}),
        ("smartphone", "seen", {"body": Wear.FLAWLESS}, {"body": Wear.FLAWLESS}),
        ("console", "seen", {"battery_health": 0.7}, {}),
        ("console", "seen", {"activation_locked": True}, {"activation_locked": True}),
        ("laptop", "seen", {"accessories": False}, {"accessories": False}),
    ],
)
def test_counted_by_hand(category, rule, found, counted):
    declared = replace(questions.WHOLE, body=Wear.LIGHT)
    found = replace(declared, **found)
    got = questions.counted(declared=declared, found=found, category=category, rule=rule)
    assert got == replace(declared, **counted)


def test_a_rule_that_is_misspelt_lets_nothing_count():
    with pytest.raises(AnswersError, match="No rule 'sene' says what counts: known are seen, all"):
        questions.counted(declared=questions.WHOLE, found=questions.WHOLE, category="laptop", rule="sene")


# The file.

TEXT = questions.FILE.read_text(encoding="utf-8")
EN = '[question.texts]\nen = "Does it switch on?"\n'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[answers.yes_no]", "[answers.yes_no", "is no TOML file"),
        ("languages =", "language =", "its top: should be a table with exactly languages, answers, question"),
        ('languages = ["en", ', 'languages = "en" # ["en", ', "languages: should not be 'en'"),
        ('kind = "share"', 'kind = "number"', "answers.share: kind: 'number' should be one of yes_no"),
        ('kind = "share"\n', "", "answers.share: should be a table with exactly kind, texts"),
        (
            "[answers.yes_no.texts.no]",
            "[answers.yes_no.texts.maybe]",
            "answers.yes_no: texts: should be a table with exactly yes, no",
        ),
        ('sv = "Vet inte"\n', "", "answers.share: texts.unknown: should be a table with exactly en, fr"),
        ('"Vet inte"', '" "', "answers.share: texts.unknown: sv: ' ' should be a text"),
        (EN, "[question.texts]\n", "question 1: texts: should be a table with exactly en, fr, de, pl, sv"),
        (EN, EN + 'it = "Si accende?"\n', "question 1: texts: should be a table with exactly en, fr"),
        (EN, "[question.texts]\nen = 1\n", "question 1: texts: en: 1 should be a text"),
        (
            'field = "battery_health"',
            'field = "battery"',
            "question 11: field: 'battery' should be one of powers_on",
        ),
        (
            'answers = "share"',
            'answers = "yes_no"',
            "question 11: answers: 'yes_no' should be of the kind share: share",
        ),
        ('["component"]', '["part"]', "question 2: categories: ['part'] should be a list of some of smart"),
        ('["component"]', "[]", "question 2: categories: [] should be a list of some of smartphone"),
        (
            '["component"]\nvisible = true',
            '["component"]',
            "question 2: should be a table with exactly field",
        ),
        ('["component"]\nvisible = true', '["component"]\nvisible = "yes"', "visible: 'yes' should be true"),
        ('["component"]', '["camera"]', "question 2: powers_on is asked twice of camera; keep one of them"),
    ],
)
def test_a_file_that_breaks_a_rule_says_which_and_where(tmp_path, old, new, problem):
    assert TEXT.count(old) == 1
    path = tmp_path / "questions.toml"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(questions.QuestionsError) as error:
        questions.load(path=path)
    (found,) = error.value.problems
    assert found.startswith("questions.toml") and problem in found


def test_every_problem_of_the_questions_is_reported_at_once(tmp_path):
    path = tmp_path / "questions.toml"
    path.write_text(TEXT.replace("visible = false", "visible = 0"), encoding="utf-8")
    with pytest.raises(questions.QuestionsError) as error:
        questions.load(path=path)
    assert len(error.value.problems) == TEXT.count("visible = false")
