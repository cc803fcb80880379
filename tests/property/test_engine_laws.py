"""Laws of planning, packing and tokenising, whatever the lengths and texts."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_rerank.scorers.engine.forward.arrays import key_rows, pack, pad, positions
from langchain_rerank.scorers.engine.plan import plan_batches, share_out
from langchain_rerank.scorers.engine.tokens.pairs import Pair
from langchain_rerank.scorers.engine.tokens.tokenization import (
    Document,
    DocumentCache,
    Frame,
    PairTokenizer,
    encode_prefixes,
)
from langchain_rerank.testing import tiny_models

LENGTHS = st.lists(st.integers(1, 600), max_size=60)
TEXTS = st.text(max_size=60)


@given(LENGTHS, st.integers(1, 2000), st.booleans())
def test_every_text_is_in_exactly_one_batch(lengths, budget, padded):
    batches = plan_batches(lengths, budget, padded=padded)
    assert Counter(position for batch in batches for position in batch) == Counter(
        range(len(lengths))
    )


@given(LENGTHS, st.integers(1, 2000), st.booleans())
def test_a_batch_costs_at_most_the_budget_unless_it_is_one_text(lengths, budget, padded):
    for batch in plan_batches(lengths, budget, padded=padded):
        sizes = [lengths[position] for position in batch]
        cost = max(sizes) * len(sizes) if padded else sum(sizes)
        assert cost <= budget or len(sizes) == 1


@given(
    st.lists(st.tuples(st.integers(1, 600), st.integers(0, 4)), max_size=60), st.integers(1, 2000)
)
def test_texts_of_one_query_stay_together_within_the_budget(items, budget):
    lengths, groups = [length for length, _ in items], [group for _, group in items]
    batches = plan_batches(lengths, budget, padded=False, groups=groups)
    assert sorted(position for batch in batches for position in batch) == list(range(len(items)))
    assert all(sum(lengths[p] for p in batch) <= budget or len(batch) == 1 for batch in batches)
    in_order = [groups[position] for batch in batches for position in batch]
    changes = sum(one != next_one for one, next_one in itertools.pairwise(in_order))
    assert changes == max(0, len(set(groups)) - 1)


@given(LENGTHS, st.integers(1, 2000), st.booleans(), st.randoms())
def test_the_order_of_the_texts_changes_no_batch_sizes(lengths, budget, padded, random):
    shuffled = lengths.copy()
    random.shuffle(shuffled)
    first, second = (
        [
            [some[position] for position in batch]
            for batch in plan_batches(some, budget, padded=padded)
        ]
        for some in (lengths, shuffled)
    )
    assert first == second


@given(st.lists(st.integers(1, 500), max_size=12), st.integers(1, 300))
def test_shares_fill_the_room_and_the_oldest_always_advances(remaining, room):
    shares = share_out(remaining, room)
    given_out = dict(shares)
    assert sum(given_out.values()) == min(room, sum(remaining))
    assert all(0 < share <= remaining[position] for position, share in shares)
    if remaining:
        assert given_out[0] >= min(remaining[0], room // 2)


PAIRS = st.lists(
    st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 6)),
    min_size=1,
    max_size=8,
).map(
    lambda rows: [
        Pair((np.array(ids, dtype=np.int32),), len(ids), min(split, len(ids)), False)
        for ids, split in rows
    ]
)


@given(PAIRS)
def test_packing_and_padding_hold_the_same_tokens(pairs):
    packed = pack(pairs)
    ids, mask, types = pad(packed, -1)
    assert ids[mask.astype(bool)].tolist() == packed.ids.tolist()
    assert types[mask.astype(bool)].tolist() == packed.types.tolist()
    assert mask.sum(1).tolist() == [pair.length for pair in pairs]
    assert (ids[~mask.astype(bool)] == -1).all()
    assert packed.types.tolist() == [
        int(column >= pair.split) for pair in pairs for column in range(pair.length)
    ]


@given(PAIRS, st.integers(0, 9))
def test_positions_start_anew_with_every_pair_and_skip_the_padding_token(pairs, skip):
    packed = pack(pairs)
    plain = positions(packed, 2, None).tolist()
    assert plain == [2 + column for pair in pairs for column in range(pair.length)]
    expected = []
    for pair in pairs:
        place = 1
        for token in pair.parts[0].tolist():
            place += token != skip
            expected.append(place if token != skip else 1)
    assert positions(packed, 2, skip).tolist() == expected


IDS = st.lists(st.integers(0, 3), max_size=4).map(lambda ids: np.array(ids, dtype=np.int32))
# Prefixes of few tokens out of four, so that several pairs have the same one.
PROMPTED = st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=12).map(
    lambda rows: [
        Pair(parts, length, length, False) for parts in rows if (length := sum(map(len, parts)))
    ]
)


@given(PROMPTED.filter(len))
def test_sharing_prefixes_changes_no_token_and_no_position_that_a_pair_sees(pairs):
    batch = pack(pairs, share_prefixes=True)
    places = positions(batch, 0, None)
    rows, starts = key_rows(batch)
    for number, pair in enumerate(pairs):
        seen = rows[starts[number] : starts[number + 1]]
        assert batch.ids[seen].tolist() == np.concatenate(pair.parts).tolist()
        assert places[seen].tolist() == list(range(pair.length))
        # Its own tokens are the last it sees, and everything else was there before.
        own = range(batch.starts[number], batch.starts[number + 1])
        assert len(own) > 0
        assert seen[-len(own) :].tolist() == list(own)
        assert (seen[: -len(own)] < own.start).all()


@given(PROMPTED.filter(len))
def test_every_prefix_is_computed_once_in_a_batch(pairs):
    prompted = [pair for pair in pairs if pair.length > len(pair.parts[0])]
    bare = [pair for pair in pairs if pair.length == len(pair.parts[0])]
    behind = sum(pair.length - len(pair.parts[0]) for pair in prompted)
    prefixes = {tuple(pair.parts[0].tolist()) for pair in prompted}
    tokens = len(pack(pairs, share_prefixes=True).ids)
    assert tokens == behind + sum(map(len, prefixes)) + sum(pair.length for pair in bare)


@given(PAIRS)
def test_pairs_that_share_nothing_are_packed_as_they_are(pairs):
    for plain, shared in zip(pack(pairs), pack(pairs, share_prefixes=True), strict=True):
        assert plain.tolist() == shared.tolist()


@pytest.fixture(scope="module", params=["bert", "roberta", "xlm-roberta", "qwen3"])
def tokenizer(request, tmp_path_factory):
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp(request.param)
    tiny_models.build_tiny_model(request.param, folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12),
    space=st.sampled_from([" ", "\n", "  ", "\t \n", " "]),
    repeat=st.integers(1, 90),
    limit=st.integers(1, 12),
)
def test_reading_only_the_beginning_of_a_text_keeps_its_first_tokens(
    tokenizer, words, space, repeat, limit
):
    text = space.join(words * repeat)
    [document] = encode_prefixes(tokenizer, [text], limit)
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    assert document.ids.tolist() == whole[:limit]
    assert document.cut == (len(whole) > limit)


class CountingTokenizer:
    """A real tokeniser that counts what it is asked."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.asked = Counter()

    def encode_batch_fast(self, texts, *, add_special_tokens):
        self.asked.update(texts)
        return self._tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)


@settings(max_examples=30, deadline=None)
@given(rounds=st.lists(st.lists(TEXTS, max_size=8), min_size=1, max_size=4))
def test_a_text_is_tokenised_once_however_often_it_comes(tokenizer, rounds):
    counting = CountingTokenizer(tokenizer)
    frame = Frame(np.array([1, 2], np.int32), "", np.array([3], np.int32), 1)
    tokenize = PairTokenizer(
        counting, lambda query, instruction: frame, 64, DocumentCache(), lambda *_: []
    )
    for texts in rounds:
        pairs = tokenize("query", texts, None)
        assert [pair.parts[1].tolist() for pair in pairs] == [
            tokenizer.encode(text, add_special_tokens=False).ids[:61] for text in texts
        ]
        assert all(pair.length == sum(map(len, pair.parts)) <= 64 for pair in pairs)
    assert all(count == 1 for count in counting.asked.values())


@given(
    st.lists(st.tuples(st.text(max_size=40), st.integers(0, 50)), max_size=60),
    st.integers(300, 3000),
)
def test_the_cache_stays_within_its_bytes_and_keeps_the_newest(entries, limit):
    cache = DocumentCache(limit)
    for text, size in entries:
        cache.put(text, Document(np.zeros(size, dtype=np.int32), cut=False))
        assert cache.bytes <= limit
    assert (cache.bytes == 0) == (len(cache) == 0)
    if entries:
        text, size = entries[-1]
        known = cache.get(text)
        fits = 4 * len(text) + 4 * size + 300 <= limit
        earlier = [other for other, _ in entries[:-1]]
        assert (known is not None) or not fits or text in earlier
