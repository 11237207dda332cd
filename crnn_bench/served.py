"""A bundle as a model of MLflow, which keeps this file beside it and runs it: paths of audio files → classes."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from crnn_bench import bundles, listening
from crnn_bench.bundles import Bundle
from crnn_bench.errors import BenchError


class Listener(PythonModel):
    """Hears files as `crnn-bench predict` does."""

    bundle: Bundle

    def load_context(self, context: PythonModelContext) -> None:
        """Opens the bundle."""
        self.bundle = bundles.load(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A table with a column `path` to `path, label, probability, fault` and `p_<class>`, one row a file."""
        if "path" not in model_input:
            raise BenchError(f"expected a column `path` of audio files, got {', '.join(map(str, model_input.columns))}")
        said = listening.table(self.bundle, model_input["path"].tolist())
        return said if said["fault"].eq("").all() else said.astype(object).where(said.notna(), None)  # JSON has no NaN


mlflow.models.set_model(Listener())
