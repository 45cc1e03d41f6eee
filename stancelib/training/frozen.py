"""The output of frozen layers, computed once a row and replayed in every epoch.

Shapes: B rows in a batch, T tokens of its longest row, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stancelib.training.batching import TokenRows, by_length
from stancelib.training.network import encoder_inputs, encoder_layers, inputs_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT_BYTES = 2 * 2**30
_BATCH = 32


class Replay:
    """Activations behind the first layers of an encoder, and a stand-in for those layers.

    Args:
        network: The classifier whose encoder it is.
        n_layers: How many layers it stands in for, at least 1.
        all_rows: The rows that will be asked for.
    """

    def __init__(self, network: Any, n_layers: int, all_rows: Sequence[TokenRows]) -> None:
        self._network = network
        self._n_layers = n_layers
        self._embeddings = network.encoder.embeddings
        self._layers = encoder_layers(network.encoder)
        self._slot = _slot(network.encoder, self._layers)
        self._stand_in = _stand_in()
        self._set_layers(self._layers[:n_layers])
        self._activations = {id(rows): self._compute(rows) for rows in all_rows}
        self._set_layers(self._layers)

    def feed(self, all_rows: TokenRows, rows: NDArray[np.int_], n_tokens: int) -> None:
        """Have the next forward pass start from the activations of these rows, padded to ``n_tokens``."""
        import torch

        activations, starts = self._activations[id(all_rows)], all_rows.starts
        hidden_BTD = torch.zeros(len(rows), n_tokens, activations.shape[1])
        for i, row in enumerate(rows):
            start, end = int(starts[row]), int(starts[row + 1])
            hidden_BTD[i, : end - start] = activations[start:end]
        self._stand_in.hidden_BTD = hidden_BTD.to(next(self._network.parameters()).device)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside the block, the encoder starts behind the layers replaced."""
        self._network.encoder.embeddings = self._stand_in
        self._set_layers(self._layers[self._n_layers :])
        try:
            yield
        finally:
            self._network.encoder.embeddings = self._embeddings
            self._set_layers(self._layers)

    def is_faithful(self, rows: TokenRows) -> bool:
        """True where the network says the same with and without the replay."""
        import numpy as np
        import torch

        few = np.arange(min(4, len(rows)))
        inputs = inputs_for(self._network, rows.batch(few))
        self._network.eval()
        with torch.inference_mode():
            expected = self._network(inputs)
            with self.installed():
                self.feed(rows, few, inputs["attention_mask"].shape[1])
                return bool(torch.allclose(self._network(inputs), expected, rtol=1e-4, atol=1e-5))

    def _compute(self, rows: TokenRows) -> Any:
        import torch

        self._network.eval()
        activations = torch.empty(int(rows.starts[-1]), self._network.encoder.config.hidden_size)
        with torch.inference_mode():
            for batch in by_length(rows.lengths, _BATCH):
                inputs = inputs_for(self._network, rows.batch(batch))
                hidden_BTD = self._network.encoder(**encoder_inputs(inputs)).last_hidden_state.cpu()
                for row, hidden_TD in zip(batch, hidden_BTD, strict=True):
                    start, end = int(rows.starts[row]), int(rows.starts[row + 1])
                    activations[start:end] = hidden_TD[: end - start]
        return activations

    def _set_layers(self, layers: Any) -> None:
        setattr(*self._slot, layers)


def _slot(encoder: Any, layers: Any) -> tuple[Any, str]:
    """The module that holds the stack of layers, and the attribute's name."""
    for module in encoder.modules():
        for name, child in module.named_children():
            if child is layers:
                return module, name
    raise AssertionError("encoder_layers returned layers that are not part of the encoder")


def _stand_in() -> Any:
    import torch

    class StandIn(torch.nn.Module):
        """Says what it was fed, whatever it is asked."""

        def forward(self, *inputs: Any, **named_inputs: Any) -> Any:
            return self.hidden_BTD

    return StandIn()


@contextmanager
def replayed_layers(network: Any, n_layers: int, all_rows: Sequence[TokenRows]) -> Iterator[Replay | None]:
    """Inside the block, the encoder's first ``n_layers`` layers, which are frozen, are replaced by a Replay.

    Yields:
        The replay; None, and an encoder that stays whole, where nothing is frozen, where the activations would take
        more than 2 GiB, or where the encoder is built so that there can't be one, or it would change its output.
    """
    n_bytes = 4 * network.encoder.config.hidden_size * sum(int(rows.starts[-1]) for rows in all_rows)
    possible = n_layers and n_bytes <= LIMIT_BYTES and hasattr(network.encoder, "embeddings")
    replay = Replay(network, n_layers, all_rows) if possible else None
    if replay is None or not replay.is_faithful(all_rows[0]):
        yield None
        return
    with replay.installed():
        yield replay
