"""Every architecture gives sentence-transformers' own scores, through every path of the engine."""

from __future__ import annotations

import asyncio
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import choice
from langchain_rerank.scorers.engine.forward.predict import Predict, PredictForward
from langchain_rerank.scorers.engine.memory import TokenBudget
from langchain_rerank.scorers.engine.tokens.reference import Reference
from langchain_rerank.scorers.engine.tokens.templates import choose_tokenizer
from langchain_rerank.scorers.engine.worker import Worker
from langchain_rerank.testing.tiny_models import FAMILIES, build_tiny_model

PACKED = {
    "bert", "electra", "distilbert", "roberta", "xlm-roberta", "modernbert",
    "qwen3", "qwen2", "llama",
}  # fmt: skip
EXACT = 1e-5

QUERY = "How many people live in Berlin?"
WORDS = re.findall(r"\S+", "Berlin people vitamin C protects sailors, compiler 1952 museum? river")
RANDOM = random.Random(7)
TEXTS = [
    " ".join(RANDOM.choice(WORDS) for _ in range(length))
    for length in (3, 40, 1, 75, 12, 40, 26, 8, 55, 19)
] + [
    "",
    "   \n\t ",
    "Zürich 北京 🙂 naïve",
    " leading and trailing space ",
    "\n\nnew\nlines\n",
    "special <pad> [SEP] </s> [CLS] <|im_end|> tokens",
    "vitamin C " * 300,  # Beyond max_length.
]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    return build_tiny_model(family, tmp_path_factory.mktemp(family), seed=3, max_length=384)


@pytest.fixture(scope="module")
def reference(folder):
    """What sentence-transformers itself predicts."""
    model = CrossEncoder(str(folder), device="cpu")

    known = {}

    def predict(query, texts, **settings):
        key = (query, *texts, *settings.items())
        if key not in known:
            pairs = [(query, text) for text in texts]
            known[key] = model.predict(pairs, show_progress_bar=False, **settings).tolist()
        return known[key]

    predict.model = model
    return predict


@pytest.fixture(scope="module")
def texts(reference, comparable):
    """Those that `predict` is a reference for."""
    return comparable(reference.model, TEXTS)


@pytest.fixture(scope="module")
def near(oldest):
    """How near bfloat16 comes; of decoders sentence-transformers 5.4 gives logits."""
    return {"abs": 0.05, "rel": 0.05} if oldest else {"abs": 0.05}


@pytest.fixture(scope="module")
def scorer(folder):
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        yield scorer


def test_the_reference_tells_texts_apart(reference):
    scores = reference(QUERY, TEXTS)
    assert max(scores) - min(scores) > 100 * EXACT


def test_scores_are_those_of_sentence_transformers(scorer, reference, texts):
    scores = scorer.score(QUERY, TEXTS)
    assert scores[: len(texts)] == pytest.approx(reference(QUERY, texts), abs=EXACT)
    assert scores.truncated == 1


def test_the_fast_path_is_the_one_in_use(scorer, family):
    scorer.load()
    assert scorer.path == ("packed" if family in PACKED else "padded")


def test_the_order_of_the_texts_does_not_matter(scorer, reference, texts):
    shuffled = random.Random(5).sample(texts, len(texts))
    assert scorer.score(QUERY, shuffled) == pytest.approx(reference(QUERY, shuffled), abs=EXACT)


def test_a_text_alone_scores_as_in_company(scorer, reference, texts):
    alone = [scorer.score(QUERY, [text])[0] for text in TEXTS]
    assert alone == pytest.approx(scorer.score(QUERY, TEXTS), abs=EXACT)
    assert alone[: len(texts)] == pytest.approx(reference(QUERY, texts), abs=EXACT)


def test_many_queries_and_many_threads_give_the_same_scores(scorer, reference):
    requests = [(query, TEXTS[:7]) for query in (QUERY, "vitamin C", "?", "Seine " * 5)]
    expected = [pytest.approx(reference(*request), abs=EXACT) for request in requests]
    assert scorer.score_many(requests) == expected
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda request: scorer.score(*request), requests)) == expected


async def test_async_gives_the_same_scores(scorer, reference, texts):
    answers = await asyncio.gather(*(scorer.ascore(QUERY, texts) for _ in range(4)))
    assert answers == [pytest.approx(reference(QUERY, texts), abs=EXACT)] * 4


def test_an_instruction_is_sentence_transformers_prompt(folder, reference, texts):
    instruction = "Find passages about sailors: "
    with CrossEncoderScorer(
        folder, device="cpu", dtype="float32", instruction=instruction
    ) as scorer:
        scores = scorer.score(QUERY, texts)
    expected = reference(QUERY, texts, prompt=instruction)
    assert scores == pytest.approx(expected, abs=EXACT)
    assert scores != pytest.approx(reference(QUERY, texts), abs=EXACT)


def paths(model):
    tokenize = choose_tokenizer(model, 384)
    loaded = choice._Loaded(model, torch.device("cpu"), torch.float32, own=True)
    padded = choice._padded(loaded, model.activation_fn)
    return {
        "padded": (tokenize, padded),
        "predict": (tokenize, PredictForward(Predict(model, own=True), model, stock=True)),
        "transformers' tokenisation": (Reference(model, 384), padded),
    }


@pytest.mark.parametrize("path", ["padded", "predict", "transformers' tokenisation"])
def test_every_slower_path_gives_the_same_scores(reference, texts, path):
    worker = Worker(*paths(reference.model)[path], TokenBudget(700))
    scores = worker.submit(QUERY, texts, None).result()
    worker.close()
    worker.join()
    assert scores == pytest.approx(reference(QUERY, texts), abs=EXACT)


def test_bfloat16_stays_close(folder, reference, texts, near):
    with CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as scorer:
        scores = scorer.score(QUERY, texts)
    assert scores == pytest.approx(reference(QUERY, texts), **near)
    assert len(set(scores)) > len(TEXTS) // 2  # The head in fp32 keeps near scores apart.


def test_a_loaded_model_is_scored_with_and_left_as_it_is(folder, reference, texts, near):
    model = CrossEncoder(str(folder), device="cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attention = model.config._attn_implementation
    with CrossEncoderScorer(model, device="cpu", dtype="bfloat16") as scorer:
        assert scorer.score(QUERY, texts) == pytest.approx(reference(QUERY, texts), **near)
    assert model.config._attn_implementation == attention
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    pairs = [(QUERY, text) for text in TEXTS]
    assert model.predict(pairs).tolist() == pytest.approx(reference(QUERY, TEXTS), abs=1e-7)


@pytest.mark.parametrize("path", ["chosen", "predict"])
def test_a_model_in_training_is_scored_without_dropout_and_stays_in_training(
    folder, reference, texts, monkeypatch, path
):
    model = CrossEncoder(str(folder), device="cpu").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5  # Some families have none by default.
    list(model.modules())[-1].eval()  # As whoever freezes a part of a model does.
    before = [module.training for module in model.modules()]
    if path == "predict":
        monkeypatch.setattr(choice, "_view_and_read_out", lambda *_: (None, None))
    with CrossEncoderScorer(model, device="cpu", dtype="float32") as scorer:
        scorer.load()
        assert [module.training for module in model.modules()] == before
        assert (scorer.path == "predict") == (path == "predict")
        for _ in range(2):
            scores = scorer.score(QUERY, texts)
            assert scores == pytest.approx(reference(QUERY, texts), abs=EXACT)
            assert [module.training for module in model.modules()] == before
        model.train()  # Between two requests, as a training loop does after it evaluated.
        assert scorer.score(QUERY, texts) == pytest.approx(reference(QUERY, texts), abs=EXACT)
    assert all(module.training for module in model.modules())


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(query=st.text(min_size=1, max_size=40), texts=st.lists(st.text(max_size=80), max_size=6))
def test_whatever_the_characters_the_scores_are_the_reference(scorer, reference, query, texts):
    expected = reference(query, texts) if texts else []
    assert scorer.score(query, texts) == pytest.approx(expected, abs=EXACT)
