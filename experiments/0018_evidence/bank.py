"""Many fits of one small encoder side by side: every weight has a first axis of models, every step is one of all.

Shapes: M models, B rows in a batch, T tokens, D dimensions, N rows of a model, K labels.
"""

import math
import time

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from rows import LONGEST, Rows

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
N_DIMENSIONS, N_HEADS, N_LAYERS = 384, 12, 6
WARMUP, CLIP = 0.1, 1.0


class Bank:
    """The weights of all models as views of one flat buffer, and AdamW with a running average over it."""

    def __init__(self, weights: dict[str, np.ndarray], heads: dict[str, int], seeds: list[int]) -> None:
        self.n = len(seeds)
        shapes = {name: value.shape for name, value in weights.items()}
        for name, size in heads.items():
            shapes |= {f"head.{name}.weight": (size, N_DIMENSIONS), f"head.{name}.bias": (size,)}
        names = sorted(shapes, key=lambda name: (_depth(name), len(shapes[name]) < 2, name))
        sizes = {name: math.prod(shapes[name]) for name in names}
        empty = torch.zeros(self.n, sum(sizes.values()), device=DEVICE)
        self.flat, self.gradient, self.first, self.second = (empty.clone() for _ in range(4))
        self.weights, self.segments, at = {}, [], 0
        for name in names:
            columns = slice(at, at := at + sizes[name])
            view = self.flat[:, columns].view(self.n, *shapes[name])
            if name in weights:
                view.copy_(torch.from_numpy(weights[name].astype(np.float32)))
            elif name.endswith("weight"):
                for m, seed in enumerate(seeds):
                    drawn = torch.randn(shapes[name], generator=torch.Generator().manual_seed(seed * 7919 + 13))
                    view[m] = 0.02 * drawn.to(DEVICE)
            leaf = view.detach().requires_grad_()
            leaf.grad = self.gradient[:, columns].view(self.n, *shapes[name])
            self.weights[name] = leaf
            decays = len(shapes[name]) > 1 and _depth(name) > 0
            self.segments.append((columns, _depth(name), decays))
        self.average = self.flat.clone()

    def linear(self, x_MND: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return torch.baddbmm(bias[:, None], x_MND, weight.transpose(1, 2))

    def norm(self, x_MBTD: torch.Tensor, name: str) -> torch.Tensor:
        normed = F.layer_norm(x_MBTD.float(), (N_DIMENSIONS,), eps=1e-12)
        return normed * self.weights[f"{name}.weight"][:, None, None] + self.weights[f"{name}.bias"][:, None, None]

    def hidden(self, ids_MBT: torch.Tensor, segments_MBT: torch.Tensor, mask_MBT: torch.Tensor, dropout: float):
        """The output of every layer, each of shape (M, B, T, D)."""
        m, b, t = ids_MBT.shape
        words = self.weights["embeddings.word_embeddings.weight"]
        first = torch.arange(m, device=DEVICE)[:, None, None] * words.shape[1]
        x = F.embedding(ids_MBT + first, words.reshape(-1, N_DIMENSIONS))
        kinds = self.weights["embeddings.token_type_embeddings.weight"][:, :, None, None]
        x = x + self.weights["embeddings.position_embeddings.weight"][:, None, :t]
        x = x + torch.where(segments_MBT[..., None] > 0, kinds[:, 1], kinds[:, 0])
        x = F.dropout(self.norm(x, "embeddings.LayerNorm"), dropout)
        outputs = []
        for i in range(N_LAYERS):
            layer = f"encoder.layer.{i}"
            flat = x.reshape(m, b * t, N_DIMENSIONS)
            query, key, value = (
                self.linear(flat, f"{layer}.attention.self.{name}").view(m * b, t, N_HEADS, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask_MBT.view(m * b, 1, 1, t), dropout_p=dropout
            )
            mixed = self.linear(mixed.transpose(1, 2).reshape(flat.shape), f"{layer}.attention.output.dense")
            x = self.norm(x + F.dropout(mixed, dropout).view(x.shape), f"{layer}.attention.output.LayerNorm")
            wide = F.gelu(self.linear(x.reshape(flat.shape), f"{layer}.intermediate.dense"))
            wide = F.dropout(self.linear(wide, f"{layer}.output.dense"), dropout)
            x = self.norm(x + wide.view(x.shape), f"{layer}.output.LayerNorm")
            outputs.append(x)
        return outputs

    def step(self, number: int, n_steps: int, rates: dict[str, torch.Tensor]) -> None:
        """AdamW on clipped gradients; ``rates``: per model, of the top layer, of the heads, and the average's decay."""
        with torch.no_grad():
            self.gradient.mul_(CLIP / self.gradient.norm(dim=1, keepdim=True).clamp(min=CLIP))
            rising, falling = (number + 1) / (WARMUP * n_steps), (n_steps - number) / ((1 - WARMUP) * n_steps)
            self.first.lerp_(self.gradient, 0.1)
            self.second.mul_(0.999).addcmul_(self.gradient, self.gradient, value=0.001)
            for columns, depth, decays in self.segments:
                rate = rates["head"] if depth > N_LAYERS else rates["learning"] * 0.9 ** (N_LAYERS - depth)
                rate_M1 = rate[:, None] * min(rising, falling, 1.0)
                weights = self.flat[:, columns]
                if decays:
                    weights.mul_(1 - rate_M1 * 0.01)
                size = (self.second[:, columns] / (1 - 0.999 ** (number + 1))).sqrt_().add_(1e-8)
                weights.sub_(self.first[:, columns] / size * (rate_M1 / (1 - 0.9 ** (number + 1))))
            share = 1 - rates["average"].clamp(max=(2 + number) / (11 + number))
            self.average.lerp_(self.flat, share[:, None]) if number else self.average.copy_(self.flat)
            self.gradient.zero_()


def _depth(name: str) -> int:
    if name.startswith("head."):
        return N_LAYERS + 1
    return 0 if name.startswith("embeddings") else int(name.split(".")[2]) + 1


class Batches:
    """The rows of all models on the device."""

    def __init__(self, models: list[list[tuple]]) -> None:
        columns = [[np.stack(column) for column in zip(*rows, strict=True)] for rows in models]
        longest = max(map(len, models))
        padded = [
            np.stack([np.pad(one[i], [(0, longest - len(one[i])), *[(0, 0)] * (one[i].ndim - 1)]) for one in columns])
            for i in range(len(columns[0]))
        ]
        self.lengths = [one[3] for one in columns]
        self.columns = [torch.from_numpy(values).to(DEVICE) for values in padded]
        self.models = torch.arange(len(models), device=DEVICE)[:, None]

    def epoch(self, batch_size: int, rngs: list[np.random.Generator]) -> np.ndarray:
        """Rows by step and model; rows of similar length together, in all models at once. Shape (n_steps, M, B)."""
        n_batches = max(-(-len(lengths) // batch_size) for lengths in self.lengths)
        ranks, models = rngs[0].permutation(n_batches), []
        for lengths, rng in zip(self.lengths, rngs, strict=True):
            order = rng.permutation(len(lengths))
            order = np.concatenate([order, rng.choice(order, n_batches * batch_size - len(order))])
            order = order[np.argsort(lengths[order] + rng.uniform(-4, 4, len(order)), kind="stable")]
            models.append(order.reshape(n_batches, batch_size)[ranks])
        return np.stack(models, 1)

    def get(self, rows_MB: np.ndarray) -> list[torch.Tensor]:
        """Ids, segments, evidence, mask, labels, phenomena, and whether these are known."""
        width = max(int(lengths[rows].max()) for lengths, rows in zip(self.lengths, rows_MB, strict=True))
        width = min(LONGEST, -(-width // 8) * 8)
        at = (self.models, torch.from_numpy(np.ascontiguousarray(rows_MB)).to(DEVICE))
        ids, segments, evidence, n, label, phenomena, known = (column[at] for column in self.columns)
        mask = torch.arange(width, device=DEVICE) < n[..., None]
        cut = (values[..., :width] for values in (ids.long(), segments, evidence.float()))
        return [*cut, mask, label.long(), phenomena, known.float()]


def scores(bank: Bank, layers: list[torch.Tensor], segments_MBT, mask_MBT, pooling: str) -> torch.Tensor:
    """Scores of the labels, shape (M, B, K)."""
    x = torch.stack(layers[-3:]).mean(0) if pooling == "last three layers" else layers[-1]
    own = mask_MBT if pooling in ("mean", "last three layers") else mask_MBT & (segments_MBT > 0)
    own = own[..., None].float()
    found = bank.linear((x * own).sum(2) / own.sum(2), "head.label")
    if pooling != "statement and evidence":
        return found
    marked = bank.linear(x.flatten(1, 2), "head.evidence").view(*own.shape).sigmoid() * own
    return found + bank.linear((x * marked).sum(2) / (marked.sum(2) + 1), "head.marked")


def loss_of(bank: Bank, batch: list[torch.Tensor], variants: dict[str, torch.Tensor], pooling: str, mask_id: int):
    """The sum over models of each one's mean loss; every model has gradients of its own."""
    ids, segments, evidence, mask, label, phenomena, known = batch
    hit = (torch.rand(ids.shape, device=DEVICE) < variants["masked"][:, None, None]) & (segments > 0) & mask
    layers = bank.hidden(ids.masked_fill(hit, mask_id), segments, mask, 0.1)
    logs = scores(bank, layers, segments, mask, pooling).float().log_softmax(-1)
    smooth = variants["smoothing"][:, None]
    losses = -(1 - smooth) * logs.gather(-1, label[..., None])[..., 0] - smooth * logs.mean(-1)
    own = ((segments > 0) & mask).float()
    marked = bank.linear(layers[-1].flatten(1, 2), "head.evidence").view(own.shape).float()
    marking = F.binary_cross_entropy_with_logits(marked, evidence, reduction="none")
    losses = losses + variants["evidence"][:, None] * (marking * own).sum(-1) / own.sum(-1)
    whole = mask[..., None].float()
    told = bank.linear((layers[-1] * whole).sum(2) / whole.sum(2), "head.phenomena").float()
    telling = F.binary_cross_entropy_with_logits(told, phenomena, reduction="none").sum(-1) * known
    return (losses + variants["phenomena"][:, None] * telling).mean(1).sum()


def fit(weights: dict[str, np.ndarray], data: Rows, models: list[dict], *, epochs: int, pooling: str, n_labels: int):
    """Fit all models; the bank, with the running averages for weights."""
    began, rngs = time.perf_counter(), [np.random.default_rng([one["seed"], 5]) for one in models]
    options = {"n_labels": n_labels}
    learned = [data.training_rows(one["learned"], one | options, rng) for one, rng in zip(models, rngs, strict=True)]
    heads = {"label": n_labels, "marked": n_labels, "evidence": 1, "phenomena": data.arrays["phenomena"].shape[1]}
    bank, batches = Bank(weights, heads, [one["seed"] for one in models]), Batches(learned)
    torch.manual_seed(models[0]["seed"] + 1)
    values = {
        name: torch.tensor([float(one[name]) for one in models], device=DEVICE)
        for name in ("learning", "head", "average", "smoothing", "evidence", "phenomena", "masked")
    }
    order = np.concatenate([batches.epoch(16, rngs) for _ in range(epochs)])
    for number, rows_MB in enumerate(order):
        with torch.autocast(DEVICE, torch.bfloat16):
            loss = loss_of(bank, batches.get(rows_MB), values, pooling, data.mask)
        loss.backward()
        bank.step(number, len(order), values)
    bank.flat.copy_(bank.average)
    print(f"{len(models)} fits in {time.perf_counter() - began:.0f} s", flush=True)
    return bank


def predict(bank: Bank, data: Rows, models: list[dict], *, pooling: str) -> list[np.ndarray]:
    """Probabilities of every model on what it is judged on, each of shape (N, K)."""
    held = Batches(
        [[(*data.tokens(row), 0, data.arrays["phenomena"][row], 0.0) for row in one["judged"]] for one in models]
    )
    order = [np.argsort(lengths, kind="stable") for lengths in held.lengths]
    found: list[dict[int, np.ndarray]] = [{} for _ in models]
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
        for start in range(0, max(map(len, order)), 32):
            rows_MB = np.stack([rows[np.minimum(np.arange(start, start + 32), len(rows) - 1)] for rows in order])
            ids, segments, _, mask, *_ = held.get(rows_MB)
            layers = bank.hidden(ids, segments, mask, 0.0)
            said = scores(bank, layers, segments, mask, pooling).float().softmax(-1).cpu().numpy()
            for mine, rows, values in zip(found, rows_MB, said, strict=True):
                mine |= dict(zip(rows.tolist(), values, strict=True))
    return [np.stack([mine[i] for i in range(len(mine))]) for mine in found]


def average_seeds(bank: Bank, models: list[dict]) -> None:
    """Give models that differ in nothing but their seed the mean of their weights."""
    alike: dict[str, list[int]] = {}
    for m, one in enumerate(models):
        rest = {name: value for name, value in one.items() if name not in ("seed", "learned", "judged")}
        alike.setdefault(f"{one['learned'].tolist()} {rest}", []).append(m)
    for same in alike.values():
        bank.flat[same] = bank.flat[same].mean(0)


def read_masked(weights: dict[str, np.ndarray], data: Rows, *, epochs: int = 20) -> dict[str, np.ndarray]:
    """The encoder after masked-language training on all statements behind their targets; labels aren't read."""
    bank, rng = Bank(weights, {"word": N_DIMENSIONS}, [0]), np.random.default_rng(3)
    with torch.no_grad():
        bank.weights["head.word.weight"].copy_(torch.eye(N_DIMENSIONS, device=DEVICE)[None])
    rows = [(*data.tokens(row), 0, data.arrays["phenomena"][row], 0.0) for row in range(len(data.label))]
    batches, rate = Batches([rows]), torch.full((1,), 2e-4, device=DEVICE)
    order = np.concatenate([batches.epoch(64, [rng]) for _ in range(epochs)])
    words = bank.weights["embeddings.word_embeddings.weight"]
    for number, rows_MB in enumerate(order):
        ids, segments, _, mask, *_ = batches.get(rows_MB)
        hit = (torch.rand(ids.shape, device=DEVICE) < 0.15) & (ids != data.cls) & (ids != data.sep) & mask
        how = torch.rand(ids.shape, device=DEVICE)
        shown = ids.masked_fill(hit & (how < 0.8), data.mask)
        shown = torch.where(hit & (how > 0.9), torch.randint_like(ids, words.shape[1]), shown)
        with torch.autocast(DEVICE, torch.bfloat16):
            told = bank.linear(bank.hidden(shown, segments, mask, 0.1)[-1][hit][None], "head.word")
            loss = F.cross_entropy(torch.bmm(told, words.transpose(1, 2))[0].float(), ids[hit])
        loss.backward()
        bank.step(number, len(order), {"learning": rate, "head": rate, "average": 0 * rate})
    return {name: bank.weights[name][0].detach().cpu().numpy() for name in weights}
