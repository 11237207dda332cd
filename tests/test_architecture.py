"""The house's walls: what imports what, what is imported when, and which names there are none of."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from crnn_bench import cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "crnn_bench"
FILES = sorted(PACKAGE.rglob("*.py"))
TRAINING = ("networks", "slicing", "feature_store", "classical")
JUNK = re.compile(r"(.*_)?(utils?|utility|utilities|helpers?|core|misc|common|base|manager|data2)$")


def imports(path: Path, top_level: bool = False) -> set[str]:
    """Full names of the modules that a file imports, anywhere or when it is itself imported."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# Directions


def test_the_import_contracts_are_kept() -> None:
    """`lint-imports` over the contracts in pyproject.toml."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert contracts
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "1 kept, 0 broken" in ran.stdout or f"{len(contracts)} kept, 0 broken" in ran.stdout


def test_every_step_is_under_contract() -> None:
    """A new file at the root cannot stay outside the layers."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layered = set(re.findall(r"crnn_bench\.(\w+)", " ".join(contract["layers"])))
    there = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert there - {"__init__", "__main__"} - layered == set()


@pytest.mark.parametrize("step", ["networks", "classical", "catalogue", "feature_store", "splitting", "tracking"])
def test_steps_do_not_import_each_other(step: str) -> None:
    """They meet in experiment.py; slicing (of networks) and evaluation (of the report) lie one layer below."""
    steps = {"networks", "classical", "catalogue", "feature_store", "splitting", "tracking", "report", "evaluation"}
    seen = {name.split(".")[1] for name in imports(PACKAGE / f"{step}.py") if name.startswith("crnn_bench.")}
    assert seen & steps == set()
    assert seen & {"experiment", "runner", "cli"} == set()


@pytest.mark.parametrize(
    ("library", "only"),
    [
        ("mlflow", ["claims.py", "registry.py", "served.py", "store.py", "tracking.py"]),
        ("joblib", ["library.py", "auditing.py", "processes.py", "room.py", "searching.py"]),
    ],
)
def test_a_library_is_known_in_few_places(library: str, only: list[str]) -> None:
    assert [path.name for path in FILES if library in roots(imports(path))] == only


def test_lightning_trains_in_one_place() -> None:
    found = {path.name for path in FILES if "pytorch_lightning" in roots(imports(path))}
    assert found == {"training.py", "batches.py"}, "batches holds the data module alone"


def test_the_package_lightning_is_used_nowhere() -> None:
    """Its releases 2.6.2 and 2.6.3 were malicious."""
    for path in [*FILES, *sorted((ROOT / "tests").glob("*.py"))]:
        assert "lightning" not in roots(imports(path)), path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in [*wanted, *pinned] if re.match(r"lightning\b(?!-)", line)]


def test_nothing_untrusted_is_unpickled() -> None:
    for path in FILES:
        assert not roots(imports(path)) & {"pickle", "cPickle", "dill", "cloudpickle"}, path
        assert not re.search(r"torch\.load\((?!.*weights_only=True)", path.read_text()), path
        assert "allow_pickle=True" not in path.read_text(), path


# What is imported when


def test_the_command_line_starts_light() -> None:
    heavy = ["torch", "pandas", "numpy", "librosa", "mlflow", "sklearn", "scipy", "matplotlib", "pytorch_lightning"]
    code = f"import sys, crnn_bench.cli; print(sorted(set({heavy}) & set(sys.modules)))"
    assert run(code) == "[]\n"


LEAN = """
import builtins, json, sys, tempfile
from pathlib import Path
sys.path.insert(0, "")
seen, real = [], builtins.__import__

def watch(name, globals=None, *rest, **named):
    importer = (globals or {}).get("__name__", "")
    if importer.startswith("crnn_bench"):
        seen.append([importer, name.split(".")[0]])
    return real(name, globals, *rest, **named)

builtins.__import__ = watch
from crnn_bench import classical, feature_store, networks, slicing
from crnn_bench.cells import Trainer
from crnn_bench.baselines.mfcc_svm import MfccSVM
from crnn_bench.features.log_mel import LogMel
from crnn_bench.models.crnn import CRNN
from crnn_bench.plugins import Choice
import numpy as np, pandas as pd

tracks = pd.DataFrame({"track_id": ["a", "b"], "label": ["a", "b"], "fingerprint": "1"})
with tempfile.TemporaryDirectory() as folder:
    store = feature_store.FeatureStore(Path(folder), LogMel())
    rows = [{**row, "seconds": 4.0, "content": "", "reason": "", "n_frames": 64} for row in tracks.to_dict("records")]
    store.write(rows, [np.random.default_rng(n).standard_normal((64, 128)).astype(np.float16) for n in range(2)])
    slices = slicing.cut(tracks, store.arrays(tracks), ["a", "b"], 31.25, 1.0)
    model = Choice(CRNN, {"conv_channels": (2,), "pool_sizes": ((64, 8),), "recurrent_width": 2})
    trainer = Trainer(max_epochs=1, batch_size=2, precision="fp32")
    network = networks.fit(model, slices, slices, 2, trainer, 0, Path(folder))
    assert network.predict_proba(slices).shape == (4, 2)
    assert classical.fit(MfccSVM(), slices, slices, 2, 0).predict_proba(slices).shape == (4, 2)
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_training_from_a_prepared_store_needs_few_libraries() -> None:
    """Imports by the package's own files while it opens a store, trains and predicts with both families."""
    seen = json.loads(run(LEAN).splitlines()[-1])
    imported = {name for _, name in seen if name != "crnn_bench" and name not in sys.stdlib_module_names}
    assert {"torch", "pytorch_lightning", "numpy", "pandas", "sklearn"} <= imported
    allowed = {
        "torch",
        "pytorch_lightning",
        "numpy",
        "pandas",
        "sklearn",
        "scipy",
        "yaml",
        "",
    }  # scipy is scikit-learn's
    assert imported <= allowed, [pair for pair in seen if pair[1] in imported - allowed]


@pytest.mark.parametrize("library", ["librosa", "mlflow", "matplotlib", "soundfile", "soxr", "jsonargparse", "jinja2"])
def test_libraries_of_other_rooms_are_imported_where_they_are_used(library: str) -> None:
    """Not at the top of any file that training or the vocabulary needs."""
    rooms = {
        "claims.py",
        "store.py",
        "tracking.py",
        "registry.py",
        "served.py",
        "report.py",
        "runner.py",
        "experiment.py",
    }
    files = [path for path in FILES if path.name not in rooms and path.parent.name not in ("figures", "app")]
    assert [path.name for path in files if library in roots(imports(path, top_level=True))] == []


# Names and sizes


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_drawer_for_junk(path: Path) -> None:
    assert not JUNK.match(path.stem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    public = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    unsaid = [node.name for node in public if not node.name.startswith("_") and not ast.get_docstring(node)]
    assert unsaid == []


def test_experiment_is_a_page() -> None:
    """The file where the stages meet is the one that grows."""
    tree = ast.parse((PACKAGE / "experiment.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert max((node.end_lineno or 0) - node.lineno + 1 for node in functions) <= 60
    assert len((PACKAGE / "experiment.py").read_text().splitlines()) <= 250


def test_the_container_copies_what_there_is_and_its_command_is_ours() -> None:
    lines = (ROOT / "Containerfile").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [name for line in lines if re.match(r"COPY (?!--)", line) for name in line.split()[1:-1]]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists() or f"!{name}" not in ignored] == []
    entry, command = (json.loads(line.split(maxsplit=1)[1]) for line in lines if re.match(r"(ENTRYPOINT|CMD) ", line))
    chosen = cli._parser().parse_args([*entry[1:], *command])
    assert chosen.command is cli._serve
    assert [f"EXPOSE {chosen.port}"] == [line for line in lines if line.startswith("EXPOSE")]
