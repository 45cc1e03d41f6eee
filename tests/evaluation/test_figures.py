import sys

import numpy as np
import pytest

from stancelib.evaluation.figures import calibration_figure, confusion_figure
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

PNG = b"\x89PNG\r\n\x1a\n"


def predictions(n_labels):
    labels = LabelSet(tuple(f"label-{i}" for i in range(n_labels)))
    gold = np.arange(4 * n_labels) % n_labels
    probabilities = np.random.default_rng(0).dirichlet(np.ones(n_labels), len(gold))
    return Predictions(Statements(["x"] * len(gold), [None] * len(gold), labels, gold), labels, probabilities)


@pytest.mark.parametrize("draw", [confusion_figure, calibration_figure])
@pytest.mark.parametrize("n_labels", [2, 15])
def test_figures_are_written_as_png(draw, n_labels, tmp_path):
    draw(predictions(n_labels), tmp_path / "f.png", title="a run · validation")
    content = (tmp_path / "f.png").read_bytes()
    assert content.startswith(PNG)
    assert len(content) > 5_000


@pytest.mark.parametrize("draw", [confusion_figure, calibration_figure])
def test_a_label_that_never_occurs_can_be_drawn(draw, tmp_path):
    said = predictions(3)
    draw(
        Predictions(said.statements.take([0, 3]), said.labels, said.probabilities[[0, 3]]), tmp_path / "f.png", title=""
    )
    assert (tmp_path / "f.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("draw", [confusion_figure, calibration_figure])
def test_a_long_title_stays_inside_the_picture(draw, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    draw(predictions(3), tmp_path / "f.png", title="tfidf " + "some_option=with_a_value " * 6 + "· validation")
    pixels = image.imread(tmp_path / "f.png")[..., :3]
    assert (pixels[:60, :3] == 1).all()
    assert (pixels[:60, -3:] == 1).all()
    assert (pixels[:2] == 1).all()


@pytest.mark.parametrize("draw", [confusion_figure, calibration_figure])
def test_dollars_in_labels_and_names_are_not_read_as_formulas(draw, tmp_path):
    labels = LabelSet(("$\\frac{$", "no $", "$x$"))
    said = predictions(3)
    statements = Statements(said.statements.texts, said.statements.targets, labels, said.statements.gold)
    draw(Predictions(statements, labels, said.probabilities), tmp_path / "f.png", title="a $\\nonsense$ run")
    assert (tmp_path / "f.png").read_bytes().startswith(PNG)


def test_drawing_leaves_no_global_plotting_state(tmp_path):
    sys.modules.pop("matplotlib.pyplot", None)
    confusion_figure(predictions(3), tmp_path / "f.png", title="")
    assert "matplotlib.pyplot" not in sys.modules


def test_labels_in_a_script_that_the_font_lacks_are_drawn_without_a_warning(tmp_path, recwarn):
    said = predictions(2)
    labels = LabelSet(("賛成", "反対"))
    statements = Statements(said.statements.texts, said.statements.targets, labels, said.statements.gold)
    confusion_figure(Predictions(statements, labels, said.probabilities), tmp_path / "f.png", title="")
    assert not recwarn.list
