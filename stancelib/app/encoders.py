"""Encoders that are named by an MLflow address, found before a model is built: training knows folders alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stancelib.reuse import encoder_folder

SETTINGS = "stancelib.training.encoders.EncoderSettings"


def with_encoder_folders(node: Any) -> Any:
    """A component's configuration, in which every encoder's address has become a folder.

    Args:
        node: Plain containers; they stay as they are.

    Raises:
        BundleError: If there is no model at an address.
        ConfigError: If the model there has no encoder, or the server can't be reached.
    """
    if isinstance(node, list):
        return [with_encoder_folders(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    found = {key: with_encoder_folders(value) for key, value in node.items()}
    if node.get("_target_") == SETTINGS and isinstance(node.get("name"), str):
        found["name"] = encoder_folder(node["name"])
    return found
