"""A service of BentoML that predicts with some boosters. Runs in .venv-peers."""

from __future__ import annotations

import os

import bentoml
import lightgbm as lgb
import numpy as np


@bentoml.service(workers=1, metrics={"enabled": False}, tracing={"sample_rate": 0.0})
class Boosters:
    """The boosters of the files BOOSTERS."""

    def __init__(self) -> None:
        files = os.environ["BOOSTERS"].split(os.pathsep)
        self.boosters = [lgb.Booster(model_file=file) for file in files]

    @bentoml.api
    async def predict(self, row: np.ndarray) -> np.ndarray:
        """Predict rows: (n, features) to (n, boosters)."""
        return np.column_stack([each.predict(row, num_threads=1) for each in self.boosters])
