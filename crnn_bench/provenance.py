"""Which code and machine made a number."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "crnn-bench",
    "torch",
    "pytorch-lightning",
    "librosa",
    "soundfile",
    "scikit-learn",
    "numpy",
    "pandas",
    "mlflow",
)


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    import torch

    return {
        "packages": _versions(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


@cache
def _versions() -> dict[str, str]:
    return {package: metadata.version(package) for package in PACKAGES}


@cache
def commit() -> str | None:
    """The git commit of the checkout that this code runs from; `None` where it is an installed package."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
