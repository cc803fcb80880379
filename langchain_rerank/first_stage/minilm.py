"""all-MiniLM-L6-v2 by transformers alone, since sentence-transformers takes seconds to import."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_rerank.locks import building
from langchain_rerank.plain_text import well_formed

_MAX_LENGTH = 256  # tokens, as the model's files for sentence-transformers say
_BATCH = 32


class MiniLmEmbeddings(Embeddings):
    """Embeddings of all-MiniLM-L6-v2: the mean of the last states, of length 1.

    They equal those of `SentenceTransformer.encode(normalize_embeddings=True)` to 1e-5, which a
    test holds.

    Args:
        model: A folder with the model's files, or its hub name.

    Raises:
        OSError: There is no such folder, and the hub does not give the files.
    """

    def __init__(self, model: str) -> None:
        from transformers import BertModel, BertTokenizer

        from langchain_rerank.scorers.engine.device import choose_device

        self._tokenizer: Any = BertTokenizer.from_pretrained(model)
        with building():
            network: Any = BertModel.from_pretrained(model)
        self._network = network.eval().to(choose_device("auto"))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, `(n, 384)`, each of length 1."""
        import torch

        # Texts of one length side by side: less padding to compute.
        order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
        vectors: list[list[float]] = [[]] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                for position, vector in zip(
                    batch, self._embedded([texts[one] for one in batch]).tolist(), strict=True
                ):
                    vectors[position] = vector
        return vectors

    def _embedded(self, texts: list[str]) -> Any:
        import torch

        tokens = self._tokenizer(
            [well_formed(text) for text in texts],
            padding=True,
            truncation=True,
            max_length=_MAX_LENGTH,
            return_tensors="pt",
        ).to(self._network.device)
        real = tokens["attention_mask"][..., None].float()
        states = self._network(**tokens).last_hidden_state.float()
        pooled = (states * real).sum(1) / real.sum(1).clamp_min(1e-9)
        return torch.nn.functional.normalize(pooled, dim=1).cpu()

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query, `(384,)`."""
        return self.embed_documents([text])[0]
