"""The student: sentence-transformers' trainer on the graded lists, and the calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import ListNetLoss
from sklearn.linear_model import LogisticRegression
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

SHOWN = 5  # passages of a question that a threshold decides about


class PauseAt(TrainerCallback):
    """Stops training at a step, with a checkpoint to go on from."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop where the step is reached."""
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def learn(
    options: SimpleNamespace, lists: Sequence[dict[str, Any]], output: Path, pause_at: int | None
) -> bool:
    """Train to the end or to step `pause_at`, write the model, and return whether it is done.

    The softmax of a list's grades is what the softmax of the student's scores learns. Source:
    Cao et al. 2007, https://doi.org/10.1145/1273496.1273513. Word embeddings stay as they are: the
    data holds too few words to improve them.
    """
    torch.manual_seed(options.seed)
    model = CrossEncoder(options.base, num_labels=1, max_length=options.max_length)
    network: Any = model[0].auto_model
    network.get_input_embeddings().weight.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # soft grades regularise enough, and dropout is slow on CPUs
    on_gpu = torch.cuda.is_available()
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    checkpoints = output / "checkpoints"
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.lists_per_step,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.01,
        bf16=torch.cuda.is_bf16_supported() if on_gpu else bool(flags.get("avx512_bf16")),
        use_cpu=not on_gpu,
        save_steps=100,
        save_total_limit=1,
        logging_steps=25,
        seed=options.seed,
        report_to="none",
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(list(lists)),
        loss=ListNetLoss(model),
        callbacks=[PauseAt(pause_at)],
    )
    last = get_last_checkpoint(checkpoints) if checkpoints.is_dir() else None
    if last is not None:
        print(f"going on from {Path(last).name}")
    trainer.train(resume_from_checkpoint=last)
    model.save_pretrained(str(output), create_model_card=False)
    print(f"{output}: step {trainer.state.global_step} of {trainer.state.max_steps}")
    return bool(trainer.state.global_step == trainer.state.max_steps)


def fit(found: Sequence[Sequence[tuple[Sequence[float], Sequence[bool]]]]) -> tuple[float, float]:
    """Return scale and offset with which .5, the sigmoid of 0, separates relevant from not.

    The logistic regression sees the first five of every question, as a threshold does, and weighs
    relevant and other passages alike. Source: Platt 1999, Advances in Large Margin Classifiers.

    Args:
        found: Per collection and question the logits of the candidates and which are relevant;
            every collection weighs the same.

    Raises:
        ValueError: There is no question, or the logits do not separate relevant passages at all.
    """
    if not found:
        raise ValueError("no question was held apart to fit it on.")
    rows = []
    for of_one in found:
        shown = [sorted(zip(*one, strict=True), reverse=True)[:SHOWN] for one in of_one]
        each = sum(map(len, shown))
        rows += [(score, right, 1 / each) for one in shown for score, right in one]
    logits, relevant, weights = map(np.array, zip(*rows, strict=True))
    fitted = LogisticRegression(C=1.0, class_weight="balanced").fit(
        logits[:, None], relevant, weights * len(rows) / len(found)
    )
    scale, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if scale <= 0:
        raise ValueError(f"scale {scale:.3f}: relevant passages score no higher than others.")
    return scale, offset


def fold(folder: Path, scale: float, offset: float) -> None:
    """Give the model in `folder` a head whose logit is `scale * logit + offset`."""
    model = CrossEncoder(str(folder))
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1]
    if not linear or linear[-1].bias is None:
        raise ValueError(f"{folder}: a head with one score and a bias was expected.")
    with torch.no_grad():
        linear[-1].weight *= scale
        linear[-1].bias.copy_(linear[-1].bias * scale + offset)
    model.save_pretrained(str(folder), create_model_card=False)
