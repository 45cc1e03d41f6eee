"""A trained model as a folder: JSON and safetensors, no pickle.

::

    bundle/
    ├── manifest.json      format, family, labels by name, golden predictions, scores, data, versions
    ├── model/             what the family saved
    ├── config.json        the resolved configuration of the run
    ├── learned.safetensors  hashes of the statements that it has learned from
    ├── README.md          the model card
    ├── MLmodel …          the same folder as an MLflow pyfunc model
    └── SHA256SUMS         a hash for every file above (``sha256sum -c SHA256SUMS`` checks it too)

Which Python class reads ``model/`` is decided here, from the family's name; nothing in the folder can name a class.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib import card
from stancelib.errors import BundleError, MissingExtraError, nearest
from stancelib.labels import LabelSet
from stancelib.models.base import Model, family_class, family_names, family_of
from stancelib.schema import Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
SUMS, LEARNED = "SHA256SUMS", "learned.safetensors"
TOLERANCE = 2e-3  # of a golden probability; float32 kernels differ between machines
GOLDEN = (
    ("We could sit down with them as soon as the ceasefire holds for a week.", "a meeting of the two delegations"),
    ("No. We will not discuss it, today or next year.", "the 4 % wage offer"),
    ("Let us set up a joint committee and start on Monday.", "a joint committee on water rights"),
)


@dataclass(frozen=True, slots=True)
class Learned:
    """Fingerprints of the statements that a model rests on, see ``stancelib.data.fingerprints``; in rising order.

    Args:
        trained: Those it was trained on.
        chosen: Those it was chosen and calibrated by.
    """

    trained: NDArray[np.uint64]
    chosen: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory.

    Args:
        folder: Where it was read.
        model: The fitted model.
        labels: Its labels, in the order of the probabilities' columns.
        manifest: Everything in ``manifest.json``.
    """

    folder: Path
    model: Model
    labels: LabelSet
    manifest: Mapping[str, Any]


def save_bundle(
    folder: Path,
    *,
    model: Model,
    labels: LabelSet,
    facts: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    learned: Learned | None = None,
) -> None:
    """Write a fitted model as a bundle, all or nothing.

    Args:
        folder: Where to; it must not exist yet, or be empty.
        model: The fitted model.
        labels: The labels of its columns.
        facts: What the manifest and the model card tell besides: ``name``, ``scores``, ``data``, ``versions`` …
        config: The resolved configuration of the run.
        learned: The statements that it rests on; None where nobody knows.

    Raises:
        BundleError: If the folder exists and isn't empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"'{folder}' is not empty; a bundle is written into a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (draft / "model").mkdir()
        model.save(draft / "model")
        manifest = _manifest(model, labels, facts)
        _write_json(draft / "manifest.json", manifest)
        _write_json(draft / "config.json", config or {})
        if learned is not None:
            _write_learned(draft / LEARNED, learned)
        (draft / "README.md").write_text(card.model_card(manifest), encoding="utf-8")
        for name, content in card.mlflow_files(manifest).items():
            (draft / name).write_text(content, encoding="utf-8")
        sums = "".join(f"{_sha256(path)}  {path.relative_to(draft).as_posix()}\n" for path in _files(draft))
        (draft / SUMS).write_text(sums, encoding="utf-8")
        _publish(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def load_bundle(folder: Path, *, families: Mapping[str, type[Model]] | None = None) -> Bundle:
    """Read a bundle after checking its files, its format, its family and its golden predictions.

    Args:
        folder: The bundle.
        families: Classes of your own that bundles may name, by dotted name; stancelib's are always there.

    Raises:
        BundleError: If it is no bundle, damaged, of a newer format or a foreign family, or predicts differently.
    """
    verify(folder)
    manifest = _read_manifest(folder)
    family = _family(manifest["family"], families or {})
    try:
        model = family.load(folder / "model")
        labels = LabelSet(tuple(manifest["labels"]), manifest.get("definitions", {}))
        _check_golden(model, labels, manifest["golden"], folder)
    except (BundleError, MissingExtraError):
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise; safetensors has its own exception
        raise BundleError(f"the {manifest['family']} model in '{folder}' can't be read: {error}") from error
    return Bundle(folder, model, labels, manifest)


def read_learned(folder: Path) -> Learned | None:
    """What the model of a bundle rests on; None if the bundle, of an earlier version, doesn't tell.

    Raises:
        BundleError: If that can't be read.
    """
    from safetensors.numpy import load_file

    path = folder / LEARNED
    if not path.is_file():
        return None
    try:
        return Learned(**load_file(path))
    except Exception as error:  # safetensors has its own exception
        raise BundleError(f"'{path}' can't be read: {error}. Copy the whole bundle again.") from error


def verify(folder: Path) -> None:
    """Compare every file with its hash.

    Raises:
        BundleError: If the folder is no bundle, or a file is missing, changed or not listed.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no folder '{folder}'; give the path of a bundle (a folder with {SUMS}).")
    if not (folder / SUMS).is_file():
        raise BundleError(f"'{folder}' is no stancelib bundle: it has no {SUMS}.")
    listed = {}
    for line in (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        if (
            not (match := re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line))
            or ".." in Path(match[2]).parts
            or match[2][0] == "/"
        ):
            raise BundleError(f"'{folder / SUMS}' is damaged: {line[:80]!r} is not a hash and a file name.")
        listed[match[2]] = match[1]
    for name in {"manifest.json", *listed}:
        if not (folder / name).is_file():
            raise BundleError(f"the bundle '{folder}' is incomplete: '{name}' is missing. Copy the whole folder again.")
        if listed.get(name) != _sha256(folder / name):
            raise BundleError(f"the bundle '{folder}' is damaged: '{name}' has changed since it was saved.")
    if strangers := [p for p in _files(folder / "model") if p.relative_to(folder).as_posix() not in listed]:
        raise BundleError(f"the bundle '{folder}' holds a file that it does not list: '{strangers[0].name}'.")


def _family(name: str, own: Mapping[str, type[Model]]) -> type[Model]:
    if name in own:
        return own[name]
    if name not in family_names():
        raise BundleError(
            f"the bundle's family {name!r} is none of stancelib's ({', '.join(family_names())})"
            f"{nearest(name, family_names())} "
            f"If it is one of your own, name it with --family {name}; in Python: load(path, families={{name: Class}})."
        )
    return family_class(name)


def _manifest(model: Model, labels: LabelSet, facts: Mapping[str, Any]) -> dict[str, Any]:
    probabilities = model.predict_proba(_golden_statements())
    golden = [
        {"text": text, "target": target, "probabilities": dict(zip(labels, map(float, row), strict=True))}
        for (text, target), row in zip(GOLDEN, probabilities, strict=True)
    ]
    return {
        "format": FORMAT,
        "family": family_of(model),
        "labels": list(labels),
        "definitions": dict(labels.definitions),
        "uses_target": model.uses_target,
        "extra": getattr(model, "extra", ""),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "golden": golden,
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        found = int(manifest["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"'{folder / 'manifest.json'}' is no bundle manifest: {error}") from error
    if found > FORMAT:
        raise BundleError(
            f"the bundle '{folder}' has format {found}, and this stancelib reads up to {FORMAT}. "
            "Run: pip install --upgrade stancelib"
        )
    if missing := [key for key in ("family", "labels", "golden") if key not in manifest or manifest[key] == []]:
        raise BundleError(f"'{folder / 'manifest.json'}' has no '{missing[0]}'.")
    return dict(manifest)


def _check_golden(model: Model, labels: LabelSet, golden: list[dict[str, Any]], folder: Path) -> None:
    import numpy as np

    statements = Statements([case["text"] for case in golden], [case["target"] for case in golden])
    found = model.predict_proba(statements)
    for case, row in zip(golden, found, strict=True):
        wanted = np.array([case["probabilities"].get(name, np.nan) for name in labels])
        if len(row) != len(wanted) or not np.allclose(row, wanted, rtol=0, atol=TOLERANCE):
            raise BundleError(
                f"the bundle '{folder}' predicts differently than when it was saved: {case['text']!r} gets "
                f"{np.round(row, 4).tolist()}, not {np.round(wanted, 4).tolist()}. "
                "Train it again with these package versions."
            )


def _golden_statements() -> Statements:
    return Statements([text for text, _ in GOLDEN], [target for _, target in GOLDEN])


def _write_learned(path: Path, learned: Learned) -> None:
    from safetensors.numpy import save_file

    save_file({"trained": learned.trained, "chosen": learned.chosen}, path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(draft: Path, folder: Path) -> None:
    """Give the draft its name, readable for whoever may read its parent (safetensors writes mode 0600)."""
    umask = os.umask(0)
    os.umask(umask)
    for path in (draft, *draft.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    if folder.exists():
        folder.rmdir()
    draft.replace(folder)
