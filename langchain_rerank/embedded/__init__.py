"""What makes the first run work offline: a small cross-encoder and a sample corpus.

Only paths live here, so that importing this package costs nothing; `weights` loads the model.
"""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""Configuration, tokenizer and int8 weights of the embedded cross-encoder."""

MODEL_CARD = Path(__file__).parent / "MODEL_CARD.md"
"""Data, licences, recipe, figures and limits of the embedded cross-encoder."""

FIRST_STAGE_WEIGHT = 0.3
"""Share of a bi-encoder's cosine that goes well with the embedded model; the card says why."""

CORPUS_FOLDER = Path(__file__).parent / "corpus"
"""Six technical guides in Markdown, to search in."""

QUESTIONS_FILE = Path(__file__).parent / "questions.jsonl"
"""Questions about the guides, each with its source and the passage that answers it."""

__all__ = ["CORPUS_FOLDER", "FIRST_STAGE_WEIGHT", "MODEL_CARD", "MODEL_FOLDER", "QUESTIONS_FILE"]
