"""A model of MLflow, written as code, that predicts with some boosters: its artifacts, in their order."""

from __future__ import annotations

import lightgbm as lgb
import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext


class Boosters(PythonModel):
    """Predicts a table: (n, features) to (n, boosters)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the boosters."""
        self.boosters = [lgb.Booster(model_file=path) for _, path in sorted(context.artifacts.items())]

    def predict(self, context, model_input, params=None) -> np.ndarray:
        """Predict."""
        return np.column_stack([each.predict(model_input, num_threads=1) for each in self.boosters])


mlflow.models.set_model(Boosters())
