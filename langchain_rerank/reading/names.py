"""Names of columns, as they are compared."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)  # a file has a handful, asked for at every row
def normal(name: str) -> str:
    """Return a name of a column as it is compared with others.

    Examples:
        >>> normal("User Input"), normal("inputs.question"), normal("query-id")
        ('user_input', 'inputs_question', 'query_id')
    """
    return re.sub(r"[\s.\-]+", "_", name.strip()).casefold()
