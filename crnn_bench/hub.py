"""Models of the transformers library, by name, from a folder, or untrained; the only place that loads their weights."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from crnn_bench import plugins
from crnn_bench.errors import BenchError

ANSWERS_WITHIN_SECONDS = 5
NEVER_FOREIGN_CODE = {"trust_remote_code": False}
MORE_THAN_NUMBERS = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]  # by `weights_only`


def model(
    name: str | None,
    config: Mapping[str, Any] | None,
    model_type: str | None = None,
    kind: str = "AutoModel",
    spare: tuple[str, ...] = (),
) -> Any:
    """Returns a model of the transformers library: trained where it has a name, otherwise with random weights.

    Args:
        name: a folder made by `save_pretrained`, or a name on the Hugging Face Hub; `None` for random weights.
        config: of a model with random weights; what it leaves out is the library's default.
        model_type: the architecture as the library calls it; `None` where any will do, or where `config` says it.
        kind: the library's class that loads it.
        spare: words in the names of weights that a trained model may lack, since nobody uses them.

    Raises:
        BenchError: both are given; it cannot be had; it is of another architecture; it lacks weights.
    """
    if name is None:
        settings = dict(config or {})
        return _untrained(str(settings.pop("model_type", model_type)), settings, kind)
    if config:
        raise BenchError(f"{name} comes with its configuration; give either a name or `config`", argument="config")
    settings = _read(name, "AutoConfig")
    found = getattr(settings, "model_type", None)
    if model_type not in (None, found):
        raise BenchError(f"{name} holds a model of the architecture {found!r}, expected {model_type!r}")
    how = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    loaded, report = _read(name, kind, config=settings, **how)
    of_another_shape = {key for key, *_ in report["mismatched_keys"]}
    lacking = sorted(key for key in report["missing_keys"] | of_another_shape if not any(word in key for word in spare))
    if lacking:
        raise BenchError(
            f"{name} lacks {len(lacking)} weights that a {type(loaded).__name__} needs, among them {lacking[0]}; "
            "give a model that was trained as one"
        )
    return loaded


def how_it_hears(name: str) -> tuple[int, bool]:
    """Sample rate in Hz of a trained model's audio, and whether each slice is brought to zero mean and unit variance.

    Raises:
        BenchError: its `preprocessor_config.json` cannot be read.
    """
    extractor = _read(name, "AutoFeatureExtractor")
    return int(extractor.sampling_rate), bool(extractor.do_normalize)


def version(name: str) -> str:
    """Tells a trained model from others of the same name: a hash of its folder's files, or its commit on the Hub.

    Raises:
        BenchError: it cannot be had.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        _read(name, "AutoConfig")  # now it is in the cache, whose folders are named by the commit
        return Path(_library().utils.cached_file(name, "config.json", local_files_only=True)).parent.name
    hashes = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                hashes.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    return plugins.digest(hashes)


def _library() -> ModuleType:
    """The transformers library without its reports and progress bars."""
    try:
        import transformers
    except ImportError:
        raise BenchError("this network needs transformers: pip install 'crnn-bench[pretrained]'") from None
    library: ModuleType = transformers
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def _untrained(model_type: str, settings: Mapping[str, Any], kind: str) -> Any:
    library = _library()
    faults = _faults()
    known = list(library.CONFIG_MAPPING)
    if model_type not in known:
        nearest = get_close_matches(model_type, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise BenchError(f"transformers knows no architecture {model_type!r}{hint}", argument="config")
    allowed = library.AutoConfig.for_model(model_type).to_dict()
    for key in settings:
        if key not in allowed:
            raise BenchError(f"config: {plugins.unknown(key, sorted(allowed))}", argument="config")
    try:
        return getattr(library, kind).from_config(library.AutoConfig.for_model(model_type, **settings))
    except faults as error:
        raise BenchError(f"config: no {model_type} can be built from it: {_line(error)}", argument="config") from None


def _read(name: str, kind: str, **settings: Any) -> Any:
    """What a class of the library loads: from a folder, from the local cache, or else from the Hub."""
    reader = getattr(_library(), kind)
    faults = _faults()
    folder = Path(name).expanduser()
    if name.startswith((".", "/", "~")) and not folder.is_dir():
        raise BenchError(f"no folder {name}; give one made by `save_pretrained`, or a name on the Hugging Face Hub")
    try:
        return reader.from_pretrained(
            str(folder) if folder.is_dir() else name, local_files_only=True, **NEVER_FOREIGN_CODE, **settings
        )
    except faults as error:
        if folder.is_dir() or not isinstance(error, OSError):
            raise _unreadable(name, kind, error) from None
    _greet(name)
    try:
        return reader.from_pretrained(name, **NEVER_FOREIGN_CODE, **settings)
    except faults as error:
        raise _unreadable(name, kind, error) from None


def _greet(name: str) -> None:
    """One quick question to the Hub, since the library itself would try for half a minute."""
    from huggingface_hub import constants, is_offline_mode

    reason = "HF_HUB_OFFLINE is set" if is_offline_mode() else ""
    try:
        if not reason:
            urllib.request.urlopen(constants.ENDPOINT, timeout=ANSWERS_WITHIN_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        reason = f"{constants.ENDPOINT} does not answer: {getattr(error, 'reason', error)}"
    if reason:
        raise BenchError(
            f"{name} is neither a folder nor in the local Hugging Face cache, and cannot be fetched ({reason}); "
            "connect once, or give a folder made by save_pretrained"
        )


def _faults() -> tuple[type[Exception], ...]:
    """What the library raises over files and configurations that it cannot use."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    of_files = (OSError, EOFError, SafetensorError, MORE_THAN_NUMBERS)
    return (*plugins.FAULTS, *of_files, ImportError, ZeroDivisionError, StrictDataclassError)


def _unreadable(name: str, kind: str, error: Exception) -> BenchError:
    if isinstance(error, MORE_THAN_NUMBERS):
        return BenchError(f"{name}: its weights are damaged, or hold more than numbers, which is never loaded")
    if kind == "AutoFeatureExtractor":
        remedy = "save its feature extractor (preprocessor_config.json) beside it"
    else:
        remedy = "give a model that transformers itself knows (code that comes with a model is never run)"
    return BenchError(f"{name} cannot be loaded as {kind}: {_line(error)}; {remedy}")


def _line(error: Exception, most: int = 200) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]} …"
