import warnings

import pytest
import torch

from stancelib.schema import Statements
from stancelib.training.evidence import evidence_in
from stancelib.training.loss import evidence_loss


def statements_with(*conditions, text="we agreed if the vote is today"):
    return Statements([text] * len(conditions), columns={"condition": conditions})


@pytest.mark.parametrize(("given", "known"), [(" if the vote ", "if the vote"), ("", ""), (None, None), (3, None)])
def test_evidence_is_text_of_the_statement_blank_for_none_and_else_unknown(given, known):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evidence_in(statements_with(given), "condition") == [known]


def test_evidence_that_is_no_part_of_its_statement_is_warned_of_and_unknown():
    with pytest.warns(UserWarning, match="condition of 1 of 3 statements is no part of them.*'unless it rains'"):
        assert evidence_in(statements_with("if", "unless it rains", ""), "condition") == ["if", None, ""]


def test_the_loss_is_each_rows_mean_over_its_own_tokens_and_none_of_unknown_ones():
    inputs = {
        "statement_mask": torch.tensor([[0, 1, 1], [0, 1, 0], [0, 1, 1]]),
        "evidence": torch.tensor([[0, 1, 0], [0, 0, 0], [-1, -1, -1]]),
    }
    marked = torch.tensor([[9.0, 2.0, -1.0], [9.0, 0.5, 9.0], [9.0, 9.0, 9.0]])
    softplus = torch.nn.functional.softplus
    expected = (softplus(torch.tensor(-2.0)) + softplus(torch.tensor(-1.0))) / 2 + softplus(torch.tensor(0.5))
    assert evidence_loss(marked, inputs).item() == pytest.approx(expected.item(), abs=1e-6)
