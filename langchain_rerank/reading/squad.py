"""SQuAD's JSON: articles of paragraphs, each with questions about it.

Source: Rajpurkar et al. 2016, doi:10.18653/v1/D16-1264, and 2018, doi:10.18653/v1/P18-2124.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of an article, with what is asked about it as SQuAD has it.

    Its id is the article's title and the number of the paragraph in it, from 1.
    """

    id: str
    title: str
    text: str
    questions: tuple[Mapping[str, Any], ...]


def squad_articles(value: Any) -> list[Any] | None:
    """Return the articles where `value` is SQuAD's; None where it is something else."""
    articles = value.get("data") if isinstance(value, Mapping) else None
    known = isinstance(articles, list) and all(
        isinstance(one, Mapping) and isinstance(one.get("paragraphs"), list) for one in articles
    )
    return articles if articles and known else None


def paragraphs(articles: list[Any], path: str | Path) -> Iterator[Paragraph]:
    """Yield every paragraph of SQuAD's articles.

    Raises:
        DataFileError: A paragraph has no text, or its questions are no list of objects.
    """
    used: dict[str, int] = {}
    for number, article in enumerate(articles, 1):
        title = str(article.get("title") or f"article {number}")
        for one in article["paragraphs"]:
            text = one.get("context") if isinstance(one, Mapping) else None
            questions = one.get("qas", []) if isinstance(one, Mapping) else None
            if not isinstance(text, str) or not isinstance(questions, list):
                raise DataFileError(
                    f"A paragraph of the article {title!r} has no string 'context' or no list "
                    f"'qas', as SQuAD's have.",
                    path=path,
                )
            if not all(isinstance(asked, Mapping) for asked in questions):
                raise DataFileError(
                    f"A question of the article {title!r} is no object, as SQuAD's are.", path=path
                )
            used[title] = used.get(title, 0) + 1
            yield Paragraph(f"{title}/{used[title]}", title, text, tuple(questions))
