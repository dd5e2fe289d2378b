"""MLServer with a model that predicts with some boosters, on a port that is told. Runs in .venv-peers.

Its own LightGBM runtime takes one booster, and its command takes the port from a file alone.
"""

from __future__ import annotations

import os
import sys

import lightgbm as lgb
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Boosters(MLModel):
    """Predicts rows: (n, features) to (n, boosters)."""

    async def load(self) -> bool:
        """Open the boosters."""
        files = os.environ["BOOSTERS"].split(os.pathsep)
        self.boosters = [lgb.Booster(model_file=file) for file in files]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict."""
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        found = np.column_stack([each.predict(rows, num_threads=1) for each in self.boosters])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("values", found)])


if __name__ == "__main__":
    from mlserver.cli.main import main

    folder, _, port = sys.argv[1:]
    os.environ["MLSERVER_HTTP_PORT"] = port
    sys.argv = ["mlserver", "start", folder]
    main()
