"""Bring a scorer of your own: one method, checked by the contract suite that ships."""

import re
from collections.abc import Sequence

from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker
from langchain_rerank.scorers.contract import check_request
from langchain_rerank.testing import check_scorer, contract_violations


class TermScorer:
    """Counts the words of the query in a text, each as often as it occurs."""

    name = "terms"
    identity = "terms-1"  # lets a score cache keep its scores in a file

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text, in order; higher is better."""
        texts = check_request(query, texts)
        terms = re.findall(r"\w+", query.casefold())
        return [float(sum(map(text.casefold().count, terms))) for text in texts]


class SortedScorer(TermScorer):
    """Makes a mistake that is easily made: the scores lose the order of the texts."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the scores sorted."""
        return sorted(super().score(query, texts), reverse=True)


check_scorer(TermScorer)  # raises with every check that fails
broken = contract_violations(SortedScorer())
print(f"The sorted one fails {len(broken)} checks: {', '.join(broken)}")
assert "order" in broken

found = [Document("A rank of low merit."), Document("Adapters of low rank have low cost.")]
best = CrossEncoderReranker(model=TermScorer()).compress_documents(found, "low rank adapters")
assert best[0].page_content.startswith("Adapters")
