"""Whose code a class is: the packages' own, which computes what a config says, or another's."""

from __future__ import annotations

import sys

# Where the code of a model comes from that computes nothing but what its config says. This package
# is among them for the embedded model, which needs no sentence-transformers.
PACKAGES = ("sentence_transformers", "transformers", "tokenizers", "torch", "langchain_rerank")


def foreign_base(kind: type) -> type | None:
    """Return the first of `kind` and its bases that no such package brought, or None."""
    for owner in kind.__mro__:
        root = owner.__module__.partition(".")[0]
        if root not in PACKAGES and root not in sys.stdlib_module_names:
            return owner
    return None
