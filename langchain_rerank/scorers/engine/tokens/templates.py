"""What a model puts around a query and a text: derived from sentence-transformers, then proven.

A pair template ([CLS] query [SEP] text [SEP]) or a chat template is taken apart once, so that a
document's tokens can be kept and joined to any query's. On probe pairs the joined tokens must equal
sentence-transformers' own; otherwise its own tokenisation is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.scorers.engine.origin import foreign_base
from langchain_rerank.scorers.engine.settings import token_limit
from langchain_rerank.scorers.engine.tokens.finishing import finished
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize
from langchain_rerank.scorers.engine.tokens.probes import (
    EDGES,
    LONG_QUERY,
    LONG_TOKENS,
    PROBES,
    long_text,
)
from langchain_rerank.scorers.engine.tokens.reference import Reference, resolve_prompt
from langchain_rerank.scorers.engine.tokens.tokenization import (
    DocumentCache,
    Frame,
    PairTokenizer,
    encode_prefixes,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)

# Characters of the private use area, which no template and hardly a text contains.
_MARK = "\ue000\ue001\ue002"


class _Template(NamedTuple):
    """A pair template: the ids before the query, between query and text, and at the end."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    text_type: int


def choose_tokenizer(model: CrossEncoder, max_length: int) -> Tokenize:
    """Return the fastest tokenisation that gives sentence-transformers' own tokens."""
    reference, limit = Reference(model, max_length), token_limit(model)
    # Of another's code nobody can know on which texts it makes a difference.
    raw = None if foreign_base(type(model.tokenizer)) else copied_backend(model)
    if raw is not None:
        for frame in _frames(model, raw, reference, max_length):
            tokenize = PairTokenizer(raw, frame, max_length, DocumentCache(), reference)
            if _agree(model, tokenize, reference, max_length):
                return finished(_instruction_checked(model, tokenize), max_length, limit)
    logger.warning(
        "What %s puts around a query and a text could not be told apart from them, so every text "
        "is tokenised anew for every query, which is slower. %s",
        type(model.tokenizer).__name__,
        see("slower-scoring"),
    )
    return finished(_instruction_checked(model, reference), max_length, limit)


def copied_backend(model: CrossEncoder) -> Any | None:
    """Return a copy of the Rust tokenizer: transformers sets truncation and padding on its own."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    try:
        raw = type(backend).from_str(backend.to_str())
    except Exception as error:  # noqa: BLE001  # what tokenizers raises for parts written in Python
        logger.debug("The tokenizer cannot be copied: %s", error)
        return None
    raw.no_truncation()
    raw.no_padding()
    return raw


def long_probes(model: CrossEncoder, limit: int) -> list[str]:
    """Return texts of about 400 and of more than `limit` tokens; the second alone if that is less.

    Args:
        model: Whose tokens.
        limit: Tokens of a pair.
    """
    lengths = [LONG_TOKENS, limit * 4 // 3] if limit > LONG_TOKENS + 64 else [limit * 4 // 3]
    return [long_text(length, lambda text: _count(model, text)) for length in lengths]


def _count(model: CrossEncoder, text: str) -> int:
    return len(model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def same_tokens(tokenize: Tokenize, reference: Reference, query: str, texts: Sequence[str]) -> bool:
    """Return whether two tokenisations give the same tokens."""
    expected = reference(query, texts, None)
    return all(map(_equal, tokenize(query, texts, None), expected))


def _equal(found: Pair, right: Pair) -> bool:
    import numpy as np

    return found.split == right.split and np.array_equal(
        np.concatenate(found.parts), np.concatenate(right.parts)
    )


def _edges(model: CrossEncoder) -> list[str]:
    """Return texts that a tokenizer may join to the prompt beside them."""
    # Tokens that take white space with them, or stand for whole words alone.
    added = model.tokenizer.added_tokens_decoder.values()
    return [*EDGES, *(one.content for one in added if one.lstrip or one.rstrip or one.single_word)]


def _agree(model: CrossEncoder, tokenize: Tokenize, reference: Reference, limit: int) -> bool:
    """Return whether tokens are those of sentence-transformers, also of a text that is cut."""
    # Of a pair without chat template, query and text are read apart.
    probes = [*PROBES, ("?", _edges(model))] if has_chat_template(model) else PROBES
    for query, texts in probes:
        expected = {
            text: pair
            for text, pair in zip(texts, reference(query, texts, None), strict=True)
            if not pair.truncated  # Under a tiny max_length; only the text is cut here.
        }
        if expected and not all(map(_equal, tokenize(query, [*expected], None), expected.values())):
            return False
    # Some tokenizers read a special token in a text as that token, some as its characters.
    special = " ".join(model.tokenizer.all_special_tokens[:4])
    if _count(model, special) < limit // 4 and not same_tokens(
        tokenize, reference, LONG_QUERY, [special]
    ):
        return False
    if _count(model, LONG_QUERY) > limit // 2:
        return True  # Cut here, and only here.
    texts = long_probes(model, limit)
    if same_tokens(tokenize, reference, LONG_QUERY, texts):
        return True
    # Where the text is before the query, sentence-transformers cuts the query off, and before
    # version 5.6 the end of every prompt: that is no way to be followed.
    *others, found = tokenize(LONG_QUERY, texts, None)
    [right] = reference(LONG_QUERY, texts[-1:], None)
    tail = found.parts[-1].tolist()
    if not tail:  # Nothing is after the text, so that something else of it was cut.
        return False
    whole = [text for text, pair in zip(texts[:-1], others, strict=True) if not pair.truncated]
    return tail != right.parts[0].tolist()[-len(tail) :] and (
        not whole or same_tokens(tokenize, reference, LONG_QUERY, whole)
    )


def _instruction_checked(model: CrossEncoder, tokenize: Tokenize) -> Tokenize:
    """Refuse an instruction that a chat template leaves out."""
    if not has_chat_template(model):
        return tokenize
    heard: set[str] = set()

    def checked(query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
        if instruction is not None and instruction not in heard:
            prompt = resolve_prompt(model, None)
            if instruction != prompt and render(model, instruction) == render(model, prompt):
                raise ConfigurationError(
                    "This model's chat template leaves the instruction out, so it would have no "
                    "effect. Leave instruction=None, or use a model that takes one."
                )
            heard.add(instruction)
        return tokenize(query, texts, instruction)

    return checked


def _frames(
    model: CrossEncoder, raw: Any, reference: Reference, max_length: int
) -> list[Callable[[str, str | None], Frame]]:
    """Return candidates for taking the template apart, likeliest first."""
    limit = max_length // 2
    if has_chat_template(model):
        before, _, _ = render(model, None).partition(_MARK)
        spaces = before[len(before.rstrip()) :]
        leads = dict.fromkeys([spaces, spaces[-1:], ""])
        return [_chat_frame(model, raw, lead, limit) for lead in leads]
    template = _derive(raw, reference)
    return [] if template is None else [_pair_frame(model, raw, template, max_length)]


def _derive(raw: Any, reference: Reference) -> _Template | None:
    """Find query and text in the tokens of their pair; what is around them is the template."""
    query, text = "people", "population"
    a = raw.encode(query, add_special_tokens=False).ids
    b = raw.encode(text, add_special_tokens=False).ids
    [pair] = reference(query, [text], None)
    ids = pair.parts[0].tolist()
    special = len(ids) - len(a) - len(b)
    for prefix in range(special + 1):
        if ids[prefix : prefix + len(a)] != a:
            continue
        for middle in range(special - prefix + 1):
            start = prefix + len(a) + middle
            if ids[start : start + len(b)] == b and pair.split in {start, len(ids)}:
                return _Template(
                    prefix=ids[:prefix],
                    middle=ids[prefix + len(a) : start],
                    suffix=ids[start + len(b) :],
                    text_type=int(pair.split == start),
                )
    return None


def _pair_frame(
    model: CrossEncoder, raw: Any, template: _Template, max_length: int
) -> Callable[[str, str | None], Frame]:
    tail, limit = _array(template.suffix), max_length // 2
    room = max_length - sum(map(len, template[:3]))

    def frame(query: str, instruction: str | None) -> Frame:
        prompt = resolve_prompt(model, instruction) or ""
        [encoded] = encode_prefixes(raw, [prompt + query], limit)
        if encoded.cut:
            _warn_long_query(limit)
        head = [*template.prefix, *encoded.ids.tolist(), *template.middle]
        contested = not encoded.cut and 2 * len(encoded.ids) > room
        return Frame(_array(head), "", tail, template.text_type, contested)

    return frame


def _chat_frame(
    model: CrossEncoder, raw: Any, lead: str, limit: int
) -> Callable[[str, str | None], Frame]:
    def frame(query: str, instruction: str | None) -> Frame:
        # A token has at least one character, so nothing is lost that a long query could keep.
        encoded = raw.encode(query[: 64 * limit], add_special_tokens=False)
        if len(encoded.ids) > limit:
            _warn_long_query(limit)
            query = query[: encoded.offsets[limit - 1][1]]
        prompt, mark = resolve_prompt(model, instruction), _MARK
        while mark in query or mark in (prompt or ""):
            mark += _MARK[-1]
        before, _, after = render(model, prompt, query, mark).partition(mark)
        before = before.removesuffix(lead)
        head, tail = (raw.encode(part, add_special_tokens=False).ids for part in (before, after))
        return Frame(_array(head), lead, _array(tail), 0)

    return frame


def has_chat_template(model: CrossEncoder) -> bool:
    """Return whether query and text become messages of a chat template."""
    return "message" in getattr(model[0], "modality_config", ())


def render(model: CrossEncoder, prompt: str | None, query: str = "query", text: str = _MARK) -> str:
    """Return the chat template around `query` and `text`, which is a mark unless given."""
    transformer: Any = model[0]
    formatter = transformer.input_formatter
    messages = formatter.pair_to_messages((query, text))
    if prompt:
        [messages] = formatter.prepend_prompt_to_messages([messages], prompt)
    options = dict(transformer.processing_kwargs.get("chat_template", {}))
    options.pop("restore_suffix", None)  # sentence-transformers' own, about truncation
    return str(model.tokenizer.apply_chat_template(messages, tokenize=False, **options))


def _warn_long_query(limit: int) -> None:
    if not _warned:
        _warned.append(limit)
        logger.warning(
            "A query was longer than half of max_length and was cut to %d tokens, so that texts "
            "keep the other half. This is said once. %s",
            limit,
            see("a-query-was-cut"),
        )


_warned: list[int] = []


def _array(ids: Sequence[int]) -> NDArray[np.int32]:
    import numpy as np

    return np.asarray(ids, dtype=np.int32)
