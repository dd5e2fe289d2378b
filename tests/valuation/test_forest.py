"""Trees are told by LightGBM's text word for word, or the text is refused before LightGBM reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from valuation import forest, package
from valuation.appraiser import Appraiser
from valuation.forest import ForestError


def grown(**parameters: object) -> tuple[str, np.ndarray]:
    """A forest of 6 features, of which 2 are categories and 1 is often missing, and what it was grown on."""
    random = np.random.default_rng(5)
    seen = random.random((2_000, 6))
    seen[:, 2:4] = (seen[:, 2:4] * (5, 90)).astype(int)
    seen[random.random(2_000) < 0.4, 4] = np.nan
    told = 3 * seen[:, 0] + seen[:, 3] % 7 + np.isnan(seen[:, 4]) + random.normal(size=2_000)
    kinds = {"objective": "regression", "verbosity": -1, "num_threads": 1, **parameters}
    data = lgb.Dataset(seen, told, categorical_feature=[2, 3])
    return lgb.train(kinds, data, 20).model_to_string(), seen


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"num_leaves": 2},
        {"min_data_in_leaf": 1_500},
        {"use_missing": False},
        {"zero_as_missing": True},
        {"monotone_constraints": [1, 0, 0, 0, 0, -1]},
    ],
    ids=str,
)
def test_what_lightgbm_writes_is_taken_and_values_and_explains_as_before(
    parameters: dict[str, object],
) -> None:
    text, seen = grown(**parameters)
    before, after = (lgb.Booster(model_str=t) for t in (text, forest.checked(text=text, features=6)))
    assert np.array_equal(before.predict(seen), after.predict(seen))
    assert np.array_equal(before.predict(seen, pred_contrib=True), after.predict(seen, pred_contrib=True))


def test_the_trees_of_an_appraiser_are_taken(appraiser: Appraiser, packed: Path) -> None:
    features = len(appraiser.model.location.anchor.seen)
    for text in json.loads((packed / package.TREES).read_text("utf-8")):
        assert text.startswith(forest.checked(text=text, features=features).removesuffix(forest.END))


TEXT = grown()[0]


def set_first(name: str, value: str) -> Callable[[str], str]:
    """The first number of the first line of a name becomes another, and the text is as long as it says."""
    return lambda text: resized(re.sub(rf"\n{name}=\S+", f"\n{name}={value}", text, count=1))


def resized(text: str) -> str:
    """The same with the tree_sizes that its trees have."""
    head, _, rest = text.partition("\n\n")
    trees = re.findall(r"Tree=.*?\n\n\n", rest, re.DOTALL)
    sizes = " ".join(str(len(tree)) for tree in trees)
    return re.sub("tree_sizes=.*", f"tree_sizes={sizes}", head) + "\n\n" + rest


DAMAGE: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "another version": lambda text: text.replace("version=v4", "version=v3"),
    "a thousand classes": lambda text: text.replace("num_class=1", "num_class=1000"),
    "trees by the thousand": lambda text: text.replace(
        "num_tree_per_iteration=1", "num_tree_per_iteration=1000"
    ),
    "more features": lambda text: text.replace("max_feature_idx=5", "max_feature_idx=6"),
    "another objective": lambda text: text.replace("objective=regression", "objective=lambdarank"),
    "an average": lambda text: text.replace("objective=", "average_output\nobjective="),
    "sizes too small": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=7", text),
    "sizes too large": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=999999999", text),
    "a size less": lambda text: re.sub(r"tree_sizes=\d+ ", "tree_sizes=", text),
    "no sizes": lambda text: re.sub(r"tree_sizes=.*\n", "", text),
    "a feature out of range": set_first("split_feature", "6"),
    "a feature below": set_first("split_feature", "-1"),
    "a feature beyond 32 bits": set_first("split_feature", "4294967296"),
    "a feature beyond 64 bits": set_first("split_feature", "9" * 30),
    "a loop": set_first("left_child", "0"),
    "a child out of range": set_first("left_child", "30"),
    "a leaf out of range": set_first("right_child", "-99"),
    "a leaf told twice": lambda text: resized(re.sub(r"(left_child=.*?)-1\b", r"\1-2", text, count=1)),
    "a leaf that is no number": set_first("leaf_value", "nan"),
    "a leaf without end": set_first("leaf_value", "inf"),
    "a leaf of 1e400": set_first("leaf_value", "1e400"),
    "a leaf of -500": set_first("leaf_value", "-500"),
    "a threshold that is no number": set_first("threshold", "nan"),
    "an underscore": set_first("leaf_value", "1_0"),
    "a leaf less": lambda text: resized(re.sub(r"leaf_value=\S+ ", "leaf_value=", text, count=1)),
    "two spaces": lambda text: resized(text.replace("leaf_value=", "leaf_value= ", 1)),
    "fewer leaves told": set_first("num_leaves", "7"),
    "no leaf": set_first("num_leaves", "0"),
    "leaves by the billion": set_first("num_leaves", "2147483647"),
    "a decision that is none": set_first("decision_type", "255"),
    "categories that are not told": set_first("num_cat", "0"),
    "too many categories": set_first("num_cat", "1000"),
    "categories beyond the words": lambda text: resized(
        re.sub(r"(cat_boundaries=.*)\d\n", r"\g<1>99\n", text, count=1)
    ),
    "categories that go back": set_first("cat_boundaries", "5"),
    "a word beyond 32 bits": set_first("cat_threshold", "4294967296"),
    "a linear tree": set_first("is_linear", "1"),
    "a count of nothing": set_first("internal_count", "0"),
    "a count below nothing": set_first("leaf_count", "-1"),
    "a line twice": lambda text: resized(re.sub(r"(\nleaf_value=.*)", r"\1\1", text, count=1)),
    "a line less": lambda text: resized(re.sub(r"\nleaf_value=.*", "", text, count=1)),
    "another place": lambda text: text.replace("Tree=3", "Tree=4", 1),
    "a byte of elsewhere": lambda text: text.replace("leaf_value=", "leaf_value=\u0663", 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_lightgbm_does_not_write_is_refused(damage: str) -> None:
    damaged = DAMAGE[damage](TEXT)
    assert damaged != TEXT
    with pytest.raises(ForestError):
        forest.checked(text=damaged, features=6)


def cuts() -> Iterator[int]:
    end = TEXT.index(forest.END)
    return iter(range(0, end, end // 300))


def test_a_text_that_was_cut_anywhere_is_refused() -> None:
    for cut in cuts():
        with pytest.raises(ForestError):
            forest.checked(text=TEXT[:cut], features=6)


def test_what_stands_behind_the_trees_is_left_out() -> None:
    assert forest.checked(text=TEXT, features=6).endswith(forest.END)
    evil = (
        TEXT[: TEXT.index(forest.END) + len(forest.END)] + "\nparameters:\n[num_class: 1000]\n" + "[" * 1_000
    )
    assert forest.checked(text=evil, features=6) == forest.checked(text=TEXT, features=6)


def test_a_forest_of_other_features_is_refused() -> None:
    for features in (5, 7):
        with pytest.raises(ForestError, match="head"):
            forest.checked(text=TEXT, features=features)


def test_a_chain_is_refused_where_it_is_deeper_than_lightgbm_can_explain() -> None:
    def chain(splits: int) -> str:
        leaves, told = splits + 1, dict.fromkeys(forest.LINES, "")
        told |= {name: " ".join(["0"] * splits) for name, of in forest.LINES.items() if of == forest.SPLITS}
        told |= {name: " ".join(["1"] * leaves) for name, of in forest.LINES.items() if of == forest.LEAVES}
        told["internal_count"] = " ".join(["1"] * splits)
        told |= {"num_leaves": str(leaves), "num_cat": "0", "is_linear": "0", "shrinkage": "1"}
        told["left_child"] = " ".join(map(str, [*range(1, splits), -1]))
        told["right_child"] = " ".join(str(-leaf) for leaf in range(2, leaves + 1))
        tree = "Tree=0\n" + "".join(f"{name}={value}\n" for name, value in told.items()) + "\n\n"
        head = re.sub("tree_sizes=.*", f"tree_sizes={len(tree)}", TEXT.partition("\n\n")[0])
        return f"{head}\n\n{tree}{forest.END}"

    text = forest.checked(text=chain(forest.MOST_DEPTH), features=6)
    assert np.isfinite(lgb.Booster(model_str=text).predict(np.zeros((1, 6)), pred_contrib=True)).all()
    with pytest.raises(ForestError, match="deeper"):
        forest.checked(text=chain(forest.MOST_DEPTH + 1), features=6)
