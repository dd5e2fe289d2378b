"""The text of boosted trees, read before LightGBM reads it.

LightGBM trusts its own format: a child out of range, a loop or a wrong size ends the process or keeps it for ever, and
`pred_contrib` writes wherever a feature out of range tells it to (CVE-2026-92786). No exception says so. So a forest
is taken only in the very words in which LightGBM 4 writes one, and each of its trees must be a tree. What stands behind
them (parameters, importances) values nothing and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

MOST_TREES, MOST_LEAVES, MOST_DEPTH = 10_000, 4_096, 256
MOST_COUNT = 2**31 - 1  # LightGBM counts rows in 32 bits
MOST_LEAF = 20.0  # in log price: no price is farther from another
HEAD = re.compile(
    r"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=(?P<last>[0-9]{1,4})\n"
    r"objective=regression\nfeature_names=(?P<names>[!-~ ]+)\n(?:monotone_constraints=(?P<signs>[-01 ]+)\n)?"
    r"feature_infos=(?P<infos>[!-~ ]+)\ntree_sizes=(?P<sizes>[0-9]{1,9}(?: [0-9]{1,9})*)"
)
END = "end of trees\n"
SPLITS, LEAVES = "splits", "leaves"
# What a tree tells, in this order, and how many numbers.
LINES: Mapping[str, str] = {
    "num_leaves": "",
    "num_cat": "",
    "split_feature": SPLITS,
    "split_gain": SPLITS,
    "threshold": SPLITS,
    "decision_type": SPLITS,
    "left_child": SPLITS,
    "right_child": SPLITS,
    "leaf_value": LEAVES,
    "leaf_weight": LEAVES,
    "leaf_count": LEAVES,
    "internal_value": SPLITS,
    "internal_weight": SPLITS,
    "internal_count": SPLITS,
    "is_linear": "",
    "shrinkage": "",
}
PLAIN = [*LINES]
WITH_CATEGORIES = [*PLAIN[:-2], "cat_boundaries", "cat_threshold", *PLAIN[-2:]]
WHOLE, REAL = re.compile("[-0-9 ]*"), re.compile("[-+.e0-9 ]*")
THRESHOLDS = re.compile(
    "(?:(?:inf|[-+.e0-9]+)(?: |$))*"
)  # infinite where it divides the told from the untold
KINDS: Mapping[str, tuple[type, re.Pattern[str]]] = {
    **{name: (np.float64, REAL) for name in PLAIN if name.endswith(("value", "weight", "gain", "shrinkage"))},
    "threshold": (np.float64, THRESHOLDS),
}
CATEGORICAL, MOST_DECISION = 1, 11  # the other bits of a decision say where a missing number goes
Told = dict[str, NDArray[Any]]  # float64 of fractions, else int64


class ForestError(ValueError):
    """A text that is no forest."""


def checked(*, text: str, features: int) -> str:
    """Tell the trees of a LightGBM text that reads so many `features`, without what stands behind them.

    Raises ForestError, naming the tree, where they are not what LightGBM writes.
    """
    head, _, rest = text.partition("\n\n")
    at = 0
    for place, size in enumerate(_sizes(head, features)):
        try:
            _check(_told(rest[at : at + size], place), features)
        except (ValueError, OverflowError) as error:
            raise ForestError(f"Tree {place}: {error}") from None
        at += size
    if not rest.startswith(END, at):
        _refuse("The trees do not end where tree_sizes says")
    return f"{head}\n\n{rest[:at]}{END}"


def _refuse(what: str) -> NoReturn:
    raise ForestError(what)


def _sizes(head: str, features: int) -> list[int]:
    """The length of each tree, of a head that is one."""
    found = HEAD.fullmatch(head)
    if found is None or int(found["last"]) != features - 1:
        _refuse(f"The head is not that of LightGBM 4 for one number told of {features} features")
    told = [found[name].split(" ") for name in ("names", "infos", "signs") if found[name]]
    sizes = [int(size) for size in found["sizes"].split(" ")]
    if any(len(each) != features for each in told) or len(sizes) > MOST_TREES:
        _refuse("The head does not agree with itself")
    return sizes


def _told(block: str, place: int) -> Told:
    """The numbers of one tree, by name."""
    first, *lines = block.split("\n")
    if first != f"Tree={place}" or lines[-3:] != [""] * 3:
        _refuse("it does not begin or end where tree_sizes says")
    told = [line.partition("=")[::2] for line in lines[:-3]]
    if [name for name, _ in told] not in (PLAIN, WITH_CATEGORIES):
        _refuse("it does not tell what a tree tells")
    return {name: _numbers(name, value) for name, value in told}


def _numbers(name: str, value: str) -> NDArray[Any]:
    kind, words = KINDS.get(name, (np.int64, WHOLE))
    tokens = value.split(" ") if value else []
    if not words.fullmatch(value):
        _refuse(f"{name} is not in numbers")
    numbers: NDArray[Any] = np.array(tokens, dtype=kind)
    if name != "threshold" and not np.isfinite(numbers).all():
        _refuse(f"{name} is not finite")
    return numbers


def _check(tree: Told, features: int) -> None:
    leaves = int(tree["num_leaves"].sum())
    many = {SPLITS: leaves - 1, LEAVES: leaves, "": 1}
    # LightGBM leaves out the weight of a single leaf.
    spared = {"leaf_weight"} if leaves == 1 else set()
    wrong = [name for name, of in LINES.items() if name not in spared and len(tree[name]) != many[of]]
    if not 0 < leaves <= MOST_LEAVES or wrong:
        _refuse(f"num_leaves is {leaves}, and of another number are {', '.join(wrong) or 'none'}")
    counts = {"leaf_count": 0, "internal_count": 1}  # what is explained is divided by these
    if tree["is_linear"][0] != 0 or any(
        (tree[name] < least).any() or (tree[name] > MOST_COUNT).any() for name, least in counts.items()
    ):
        _refuse("is_linear, leaf_count or internal_count is not that of a counted tree")
    if ((tree["split_feature"] < 0) | (tree["split_feature"] >= features)).any():
        _refuse(f"split_feature is not of {features} features")
    _check_shape(tree["left_child"], tree["right_child"], leaves)
    _check_decisions(tree)
    if (farthest := np.abs(tree["leaf_value"]).max()) > MOST_LEAF:
        _refuse(f"leaf_value reaches {farthest:g} in log price, at most {MOST_LEAF:g} is possible")


def _check_shape(left: NDArray[np.int64], right: NDArray[np.int64], leaves: int) -> None:
    """Every split but the first and every leaf hangs on one split, which stands before it: so there is no loop."""
    children = np.concatenate([left, right])
    if sorted(children.tolist()) != [*range(-leaves, 0), *range(1, leaves - 1)] and leaves > 1:
        _refuse("left_child and right_child do not hold each split and leaf once")
    depth = [0] * max(leaves - 1, 1)
    for split, both in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        for child in both:
            if 0 <= child <= split:
                _refuse(f"split {split} leads back to {child}")
            if child > 0:
                depth[child] = depth[split] + 1
    if max(depth) >= MOST_DEPTH:
        _refuse(f"it is deeper than {MOST_DEPTH}")


def _check_decisions(tree: Told) -> None:
    """What decides is a number, or a set of categories that is told."""
    decisions, count = tree["decision_type"], int(tree["num_cat"][0])
    by_category = (decisions & CATEGORICAL) > 0
    if ((decisions < 0) | (decisions > MOST_DECISION)).any() or by_category.sum() != count:
        _refuse("decision_type is none, or does not agree with num_cat")
    if (count > 0) != ("cat_boundaries" in tree):
        _refuse("num_cat does not agree with the categories told")
    if count == 0:
        return
    bounds, words = tree["cat_boundaries"], tree["cat_threshold"]
    if sorted(tree["threshold"][by_category].tolist()) != [*range(count)]:
        _refuse("threshold does not name each set of categories once")
    if len(bounds) != count + 1 or bounds[0] != 0 or (np.diff(bounds) < 1).any() or bounds[-1] != len(words):
        _refuse("cat_boundaries do not divide cat_threshold")
    if ((words < 0) | (words >= 2**32)).any():
        _refuse("cat_threshold is not in words of 32 bits")
