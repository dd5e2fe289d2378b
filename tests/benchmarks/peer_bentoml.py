"""A service of BentoML that predicts with bare trees. Runs in .venv-peers."""

from __future__ import annotations

import os

import bentoml
import lightgbm as lgb
import numpy as np


@bentoml.service(workers=1, metrics={"enabled": False}, tracing={"sample_rate": 0.0})
class Trees:
    """The trees of the file TREES."""

    def __init__(self) -> None:
        self.trees = lgb.Booster(model_file=os.environ["TREES"])

    @bentoml.api
    async def predict(self, row: np.ndarray) -> np.ndarray:
        """Predict rows: (n, features) to (n,)."""
        return self.trees.predict(row, num_threads=1)
