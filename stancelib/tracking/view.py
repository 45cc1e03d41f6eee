"""How the runs of an experiment look in MLflow's UI when its link is opened: which columns, in which order.

It is a view as the UI's own *Share* button leaves it, a tag of the experiment. Whoever opens the experiment without the
link, or chooses other columns, sees what they chose.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

HEADLINE_METRIC = "validation/macro_f1"
KEY = "stancelib"
TAG = f"mlflow.sharedViewState.{KEY}"
COLUMNS = {  # with their widths in pixels
    f"metrics.`{HEADLINE_METRIC}`": 160,
    f"metrics.`{HEADLINE_METRIC}_low`": 185,
    f"metrics.`{HEADLINE_METRIC}_high`": 190,
    "metrics.`probe/pair_accuracy`": 175,
    "tags.`model`": 110,
    "tags.`data`": 105,
    "tags.`seed`": 60,
}
FIRST_COLUMNS = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")


def tags() -> dict[str, str]:
    """The tag that a new experiment gets: best run first, with the columns above."""
    view = {
        "orderByKey": f"metrics.`{HEADLINE_METRIC}`",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": [*FIRST_COLUMNS, *COLUMNS],
        "columnWidths": COLUMNS,
    }
    return {TAG: json.dumps(view)}


def add_to(client: MlflowClient, experiment_id: str) -> bool:
    """Give an experiment the view if it has none, such as one that was made elsewhere.

    Returns:
        Whether it has one now; not where the server lets us read alone.
    """
    from mlflow.exceptions import MlflowException

    if TAG in client.get_experiment(experiment_id).tags:
        return True
    try:
        client.set_experiment_tag(experiment_id, TAG, tags()[TAG])
    except MlflowException:
        return False
    return True
