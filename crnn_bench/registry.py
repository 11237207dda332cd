"""The best cell's bundle → a version of a registered model, logged from code, that hears files of audio."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

BEST = "best"  # alias of the version
REQUIREMENTS = ["crnn-bench"]


def register(
    name: str, run_id: str, bundle: Path, classes: Sequence[str], about: str, tags: Mapping[str, str], uri: str
) -> str:
    """Makes a bundle the best version of a model, unless its run is that already.

    MLflow keeps `served.py` and the bundle, and no pickle.

    Args:
        name: of the model; what MLflow does not take in names becomes `-`.
        run_id: of the run that the version belongs to, which made the bundle.
        bundle: its file.
        classes: their order.
        about: the version's description, in Markdown.
        tags: of the version.
        uri: of the store.

    Returns:
        The version's address, `models:/NAME/1`.
    """
    client, named = mlflow.MlflowClient(uri), re.sub("[/:'\"]", "-", name)
    known = client.search_model_versions(f"name = '{named}' and run_id = '{run_id}'")
    version = known[0].version if known else _new_version(client, named, run_id, _log(run_id, bundle, classes), tags)
    client.update_model_version(named, version, about)
    client.set_registered_model_alias(named, BEST, version)
    return f"models:/{named}/{version}"


def signature(classes: Sequence[str]) -> ModelSignature:
    """Paths to what `listening.table` tells."""
    path, label, fault = (ColSpec("string", column) for column in ("path", "label", "fault"))
    numbers = [ColSpec("double", column) for column in ("probability", *(f"p_{one}" for one in classes))]
    return ModelSignature(Schema([path]), Schema([path, label, numbers[0], fault, *numbers[1:]]))


def _new_version(client: mlflow.MlflowClient, name: str, run_id: str, model_id: str, tags: Mapping[str, str]) -> str:
    """Registers a logged model, as `mlflow.register_model` does, but silently."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, f"models:/{model_id}", run_id, dict(tags), model_id=model_id)
    versions = json.dumps([{"name": name, "version": made.version}])  # by which the model's page links to it
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: versions})
    return str(made.version)


def _log(run_id: str, bundle: Path, classes: Sequence[str]) -> str:
    """Logs the model in its run, from code; returns its number."""
    with resources.as_file(resources.files("crnn_bench").joinpath("served.py")) as code:
        logged = Model.log(
            None,
            mlflow.pyfunc,
            name="model",
            run_id=run_id,
            python_model=str(code),
            artifacts={"bundle": str(bundle)},
            signature=signature(classes),
            input_example=pd.DataFrame([["song.mp3"]], columns=pd.Index(["path"], dtype=object)),  # MLflow's own way
            pip_requirements=REQUIREMENTS,
        )
    return str(logged.model_id)
