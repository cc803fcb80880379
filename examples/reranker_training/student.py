"""The student model: its scores, its loss and its training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch user knows
import typer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from reranker_training.data import Example
from reranker_training.lists import Options
from reranker_training.teachers import console, fast_dtype, progress_bar

Tokenizer = Any  # transformers' tokenizers share no public, typed base class


def score_pairs(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    max_length: int,
) -> torch.Tensor:
    """Return one logit per pair, ``(n,)`` in order, in batches of similar length."""
    device = next(model.parameters()).device
    # Padded tokens per batch: a CPU gains nothing by large ones, a GPU needs them to be busy.
    token_budget = 2048 if device.type == "cpu" else 16384
    encoded = tokenizer(
        [query for query, _ in pairs],
        [text for _, text in pairs],
        truncation="only_second",
        max_length=max_length,
    )
    lengths = [len(ids) for ids in encoded["input_ids"]]
    order = sorted(range(len(pairs)), key=lambda i: -lengths[i])
    logits: list[torch.Tensor] = []
    begin = 0
    while begin < len(order):
        rows = order[begin : begin + max(1, token_budget // lengths[order[begin]])]
        begin += len(rows)
        batch = tokenizer.pad(
            {name: [values[i] for i in rows] for name, values in encoded.items()},
            return_tensors="pt",
        )
        logits.append(model(**batch.to(device)).logits[:, 0].float())
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(logits)[back]


def list_loss(logits: torch.Tensor, examples: Sequence[Example], weight: float) -> torch.Tensor:
    """Return the mean loss over lists: who comes first, who precedes whom, who is relevant.

    The KL divergence of the softmaxes looks at the top of a list. The cross-entropy of all pairs'
    preferences (RankNet with soft targets) also learns the order further down, where a softmax
    has no weight left. ``weight`` times the binary cross-entropy is added where labels exist.
    Source: list-wise https://doi.org/10.1145/1273496.1273513, RankNet
    https://doi.org/10.1145/1102351.1102363.
    """
    losses: list[torch.Tensor] = []
    pieces = torch.split(logits, [len(example.texts) for example in examples])
    for piece, example in zip(pieces, examples, strict=True):
        teacher = torch.tensor(example.teacher, device=logits.device)
        first = F.kl_div(F.log_softmax(piece, dim=0), F.softmax(teacher, dim=0), reduction="sum")
        above, below = torch.triu_indices(len(piece), len(piece), offset=1)
        order = F.binary_cross_entropy_with_logits(
            piece[above] - piece[below], torch.sigmoid(teacher[above] - teacher[below])
        )
        loss = first + 2 * order
        if example.labels:
            labels = torch.tensor(example.labels, device=logits.device)
            loss = loss + weight * F.binary_cross_entropy_with_logits(piece, labels)
        losses.append(loss)
    return torch.stack(losses).mean()


def lowest_layers(encoder: torch.nn.Module, count: int) -> list[torch.nn.Module]:
    """Return the embeddings and the first ``count`` layers of a transformers encoder.

    Frozen, they keep what the base knows about words, and training skips their backward pass.
    """
    layers = next(m for m in encoder.modules() if isinstance(m, torch.nn.ModuleList))
    embeddings = [m for name, m in encoder.named_children() if "embed" in name]
    return [*embeddings, *layers[:count]]


class Trainer:
    """The student, its fp32 master weights, their moving average, optimiser and position.

    The forward and backward pass run in bfloat16 where that is fast; the optimiser updates fp32
    copies (small steps would vanish in bfloat16), which are then rounded back into the model.
    Word embeddings stay as they are: the data holds too few words to improve them.
    """

    def __init__(self, options: Options, steps: int, device: str) -> None:
        self.options, self.steps, self.step = options, steps, 0
        self.elapsed = 0.0  # seconds spent in steps, over all runs
        self.tokenizer: Tokenizer = AutoTokenizer.from_pretrained(options.base)
        torch.manual_seed(options.seed)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            options.base,
            num_labels=1,
            dtype=torch.float32,
            # On a CPU, plain matrix products beat the fused kernel's backward pass on short texts.
            attn_implementation="eager" if device == "cpu" else "sdpa",
        ).to(device)
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # soft targets regularise enough, and dropout is slow on CPUs
        self.model.config.update({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
        self.model.get_input_embeddings().weight.requires_grad_(False)
        if options.freeze_layers:
            for module in lowest_layers(self.model.base_model, options.freeze_layers):
                module.requires_grad_(False)
        names = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in names]
        self.master = [p.detach().clone().requires_grad_() for _, p in names]
        self.average = [p.detach().clone() for p in self.master]
        self.model.to(fast_dtype(device))
        self.weights = [p for _, p in names]
        decay = [p for p in self.master if p.ndim > 1]
        rest = [p for p in self.master if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}],
            lr=options.learning_rate,
            betas=(0.9, 0.98),
            foreach=True,
        )

    def progress(self) -> float:
        """Return the share of the run that is done: of the steps, or of the minutes if more."""
        share = self.step / self.steps
        if self.options.minutes is not None:
            share = max(share, self.elapsed / (60 * self.options.minutes))
        return min(1.0, share)

    def rate(self) -> float:
        """Return the learning rate: linear warm-up over 5 %, then half a cosine to zero."""
        done = self.progress()
        shape = 0.5 * (1 + math.cos(math.pi * max(0.0, done - 0.05) / 0.95))
        return self.options.learning_rate * min(shape, (done + 1 / self.steps) / 0.05)

    def update(self, examples: Sequence[Example]) -> float:
        """Take one optimiser step on the lists; return the loss before it."""
        began = time.monotonic()
        pairs = [(e.query, text) for e in examples for text in e.texts]
        logits = score_pairs(self.model, self.tokenizer, pairs, self.options.max_length)
        loss = list_loss(logits, examples, self.options.pointwise_weight)
        loss.backward()
        for master, weight in zip(self.master, self.weights, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        self.step += 1
        decay = min(self.options.average_decay, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.master)
            torch._foreach_lerp_(self.average, self.master, 1 - decay)
        self.elapsed += time.monotonic() - began
        return float(loss.detach())

    def save(self, file: Path) -> None:
        """Write everything that a resumed run needs, atomically."""
        state = {
            "step": self.step,
            "elapsed": self.elapsed,
            "names": self.names,
            "optimizer": self.optimizer.state_dict(),
            "master": self.master,
            "average": self.average,
        }
        torch.save(state, file.with_suffix(".partial"))
        file.with_suffix(".partial").rename(file)

    def load(self, file: Path) -> None:
        """Go on from a checkpoint that `save` wrote."""
        state = torch.load(file, weights_only=True)
        if state["names"] != self.names:
            raise typer.BadParameter(f"{file} belongs to another base model; delete it")
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            torch._foreach_copy_(self.master, state["master"])
            torch._foreach_copy_(self.average, state["average"])
            torch._foreach_copy_(self.weights, self.master)

    def export(self, folder: Path) -> None:
        """Write the averaged weights as a model folder in fp32."""
        fresh = AutoModelForSequenceClassification.from_pretrained(
            self.options.base, num_labels=1, dtype=torch.float32
        )
        state = dict(zip(self.names, self.average, strict=True))
        fresh.load_state_dict({k: v.cpu() for k, v in state.items()}, strict=False)
        fresh.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def run_training(
    trainer: Trainer, examples: Sequence[Example], output: Path, pause_at: int | None
) -> None:
    """Train to the end, or to step ``pause_at``, with a checkpoint every 100 steps."""
    per_step, checkpoint = trainer.options.lists_per_step, output / "checkpoint.pt"
    smooth = 0.0
    with progress_bar() as bar:
        task = bar.add_task("train", total=trainer.steps, completed=trainer.step)
        while trainer.progress() < 1 and trainer.step != pause_at:
            picks = range(trainer.step * per_step, (trainer.step + 1) * per_step)
            loss = trainer.update([examples[i % len(examples)] for i in picks])
            smooth = loss if smooth == 0 else 0.97 * smooth + 0.03 * loss
            bar.update(task, completed=trainer.step, description=f"train, loss {smooth:.3f}")
            if trainer.step % 25 == 0:
                console.log(
                    f"step {trainer.step}/{trainer.steps}, {trainer.elapsed / 60:.1f} min, "
                    f"rate {trainer.rate():.1e}, loss {smooth:.4f}"
                )
            if trainer.step % 100 == 0:
                trainer.save(checkpoint)
    trainer.save(checkpoint)
