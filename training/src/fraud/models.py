"""The models, as recipes: how each is built, and on which training rows it is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from fraud.errors import DataError


@dataclass(frozen=True)
class Recipe:
    """One model of a profile.

    Attributes:
        name: of the model and of its run.
        build: makes an unfitted estimator of scikit-learn's interface from seed and threads.
        undersample: share of frauds among the rows it is fitted on; None: all training rows.
        cost: rough share of the profile's time; the longest start first.

    """

    name: str
    build: Callable[[int, int], Any]
    undersample: float | None = None
    cost: float = 1.0


def logistic(seed: int, threads: int) -> Any:
    """Logistic regression on scaled columns: unscaled takes 4 to 8 times as long."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def forest_40(seed: int, threads: int) -> Any:
    """The random forest of the design that this package replaces: 40 full trees.

    It takes longer than all the rest, so its trees are spread over all cores.
    """
    return RandomForestClassifier(n_estimators=40, random_state=seed, n_jobs=-1)


def xgboost_100(seed: int, threads: int) -> Any:
    """100 boosted trees. Unbounded steps diverge at 0.17 % frauds (`max_delta_step`)."""
    return XGBClassifier(n_estimators=100, max_delta_step=1, random_state=seed, n_jobs=threads)


def _seed_profile() -> list[Recipe]:
    rough = {"logistic": (logistic, 1), "forest": (forest_40, 30), "xgboost": (xgboost_100, 2)}
    full = [Recipe(name, build, cost=cost) for name, (build, cost) in rough.items()]
    less = [
        Recipe(f"{name}-undersampled", build, undersample=0.05, cost=0.1)
        for name, (build, _) in rough.items()
    ]
    return full + less


PROFILES: dict[str, list[Recipe]] = {"seed": _seed_profile()}


def choose(profile: str, only: str | None = None) -> list[Recipe]:
    """The recipes of a profile, or those of them that `only` names, separated by commas.

    Raises:
        DataError: the profile has no such model.

    """
    recipes = {recipe.name: recipe for recipe in PROFILES[profile]}
    if only is None:
        return list(recipes.values())
    names = [name.strip() for name in only.split(",")]
    for name in names:
        if name not in recipes:
            raise DataError(
                f"Profile {profile} has no model {name!r}", f"It has {', '.join(recipes)}."
            )
    return [recipes[name] for name in names]
