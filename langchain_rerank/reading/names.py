"""Names of columns, as they are compared."""

from __future__ import annotations

import re
from functools import lru_cache

DOCUMENT_IDS = (
    *("docid", "doc_id", "pid", "passage_id", "document_id", "corpus_id", "docno", "doc_no"),
    "product_id",
)
"""What a document's id is called in corpora and judgements; the first that a row has counts."""


@lru_cache(maxsize=1024)  # a file has a handful, asked for at every row
def normal(name: str) -> str:
    """Return a name of a column as it is compared with others.

    Examples:
        >>> normal("User Input"), normal("inputs.question"), normal("query-id"), normal("queryId")
        ('user_input', 'inputs_question', 'query_id', 'query_id')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s.\-]+", "_", words).casefold()
