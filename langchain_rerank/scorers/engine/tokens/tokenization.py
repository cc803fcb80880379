"""Tokenising once: the query once, each distinct document once, joined by the model's template."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_rerank.errors import RequestRejectedError
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Source, Tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE_BYTES = 64 * 2**20
# How much of a long text is read at first: see `encode_prefixes`.
_CHARACTERS_PER_TOKEN = 16
_MARGIN = 32
_END_OF_WORD = re.compile(r"\S\s")


class Frame(NamedTuple):
    """What stands around a text: the query and the template.

    Attributes:
        head: Token ids before the text.
        lead: Characters of the template that belong to the text's first token (a chat template's
            space before it); empty for pair templates.
        tail: Token ids after the text.
        text_type: Token type of text and tail; the head has type 0.
        contested: Whether the query is so long that the model's own tokenizer cuts it as well,
            where the text is long too.
    """

    head: NDArray[np.int32]
    lead: str
    tail: NDArray[np.int32]
    text_type: int
    contested: bool = False


class Document(NamedTuple):
    """The first tokens of a text, and whether there were more."""

    ids: NDArray[np.int32]
    cut: bool


class DocumentCache:
    """Token ids of documents, least recently used ones dropped beyond a number of bytes."""

    # What Python keeps for one entry besides the text and the ids.
    _OVERHEAD = 300

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[str, Document] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> Document | None:
        """Return the tokens of `text` if they are known."""
        with self._lock:
            found = self._entries.get(text)
            if found is not None:
                self._entries.move_to_end(text)
            return found

    def put(self, text: str, document: Document) -> None:
        """Remember the tokens of `text`; a text above the limit is not kept."""
        size = self._size(text, document)
        with self._lock:
            if text in self._entries or size > self._limit:
                return
            self._entries[text] = document
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._size(*self._entries.popitem(last=False))

    @property
    def bytes(self) -> int:
        """Bytes in use."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def _size(self, text: str, document: Document) -> int:
        return 4 * len(text) + int(document.ids.nbytes) + self._OVERHEAD


class PairTokenizer:
    """Joins a query's frame with documents' tokens.

    Args:
        tokenizer: A raw `tokenizers.Tokenizer`, without truncation and padding.
        frame: Returns the frame of a query under an instruction.
        max_length: Tokens of a pair.
        cache: Where documents' tokens are kept.
        reference: The model's own tokenisation, for queries that it may cut.
    """

    def __init__(
        self,
        tokenizer: Any,
        frame: Callable[[str, str | None], Frame],
        max_length: int,
        cache: DocumentCache,
        reference: Tokenize,
    ) -> None:
        self._tokenizer, self._frame, self._reference = tokenizer, frame, reference
        self._max_length, self._cache = max_length, cache

    def __call__(self, query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
        """Return one pair per text, in order; only texts are cut to fit.

        Raises:
            RequestRejectedError: Query and template leave no room for a text.
        """
        frame = self._frame(query, instruction)
        if frame.contested:
            return self._reference(query, texts, instruction)
        around = len(frame.head) + len(frame.tail)
        room = self._max_length - around
        if room < 1:
            raise RequestRejectedError(
                f"Query, instruction and template take {around} of max_length={self._max_length} "
                f"tokens and leave no room for a text. Raise max_length or shorten the instruction."
            )
        documents = self.documents(texts, frame.lead)
        pairs = []
        for text, document in zip(texts, documents, strict=True):
            ids = document.ids[:room]
            length = around + len(ids)
            split = len(frame.head) if frame.text_type else length
            cut = document.cut or len(document.ids) > room
            source = Source(query, text, instruction, self._max_length)
            pairs.append(Pair((frame.head, ids, frame.tail), length, split, cut, source))
        return pairs

    def documents(self, texts: Sequence[str], lead: str) -> list[Document]:
        """Return the tokens of each text, from the cache or tokenised once."""
        known: dict[str, Document] = {}
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            found = self._cache.get(lead + text)
            if found is None:
                missing.append(text)
            else:
                known[text] = found
        for text, document in zip(
            missing,
            encode_prefixes(self._tokenizer, [lead + text for text in missing], self._max_length),
            strict=True,
        ):
            known[text] = document
            self._cache.put(lead + text, document)
        return [known[text] for text in texts]


def encode_prefixes(tokenizer: Any, texts: Sequence[str], limit: int) -> list[Document]:
    """Return the first `limit` tokens of each text, without reading a long text to its end.

    Of a text far longer than `limit` tokens can need, only a beginning is tokenised. It ends before
    white space, where tokenizers end a word, so that its tokens are the text's own: where a word
    ends may decide how all of it is divided. The last tokens before the cut, which it could change
    nevertheless, are never used: where the beginning does not hold `limit` tokens and a margin,
    more of the text is read, if need be all of it.
    """
    import numpy as np

    results: list[Document | None] = [None] * len(texts)
    reach = _CHARACTERS_PER_TOKEN * (limit + _MARGIN)
    waiting = list(range(len(texts)))
    while waiting:
        beginnings = [_beginning(texts[position], reach) for position in waiting]
        encodings = tokenizer.encode_batch_fast(beginnings, add_special_tokens=False)
        again = []
        for position, beginning, encoding in zip(waiting, beginnings, encodings, strict=True):
            whole = len(beginning) == len(texts[position])
            if not whole and len(encoding.ids) < limit + _MARGIN:
                again.append(position)
                continue
            ids = np.asarray(encoding.ids[:limit], dtype=np.int32)
            results[position] = Document(ids, not whole or len(encoding.ids) > limit)
        waiting = again
        reach *= 4
    return [document for document in results if document is not None]


def _beginning(text: str, reach: int) -> str:
    """Return about `reach` characters, ending with a word; more where the first one is longer."""
    if len(text) <= reach:
        return text
    end = reach
    while end > 0 and not (text[end].isspace() and not text[end - 1].isspace()):
        end -= 1
    if end == 0 and (word := _END_OF_WORD.search(text, reach - 1)):
        end = word.start() + 1
    return text[: end or len(text)]
