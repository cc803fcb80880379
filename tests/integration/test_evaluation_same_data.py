"""A resumed run never mixes rows of two things that have one name: indexes, weights, documents."""

import json
import random
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation import EvaluationChain, compare_rerank, sweep_k
from langchain_rerank.evaluation.judge.verdicts import Verdicts
from langchain_rerank.evaluation.ragas import ChainKeys, RagasEvaluation
from langchain_rerank.evaluation.run import lines, stage
from langchain_rerank.evaluation.run.functions import code_of
from langchain_rerank.evaluation.run.identity import Unsaid, identity
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.first_stage.terms import Terms
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

WORDS = ["adapters", "pruning", "caching", "batching", "routing", "sparsity", "tokens", "heads"]
RECORDS = [
    {"id": f"q{n}", "question": f"{word} note", "qrels": {f"{word}-1": 1}}
    for n, word in enumerate(WORDS)
]


def corpus(text="note", source="guide"):
    return [
        Document(f"{word} {text} {n}", id=f"{word}-{n}", metadata={"source": source, "page": n})
        for word in WORDS
        for n in range(4)
    ]


DOCUMENTS = corpus()[:3]


class Letters(Embeddings):
    """How often each sign stands in a text, by weights that no setting tells."""

    model = "letters"

    def __init__(self, weights=1):
        self.weights = weights

    def embed_documents(self, texts):
        signs = [(one, ord(one) * self.weights % 11 + 1) for one in "abcdefghijklmnoprstu0123"]
        return [[text.count(one) * weight for one, weight in signs] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


def indexed(documents, weights=1):
    store = InMemoryVectorStore(Letters(weights))
    store.add_documents(documents)
    return store


def vector_store(documents, weights=1):
    return indexed(documents, weights).as_retriever()


def searching(documents, weights=1):
    store = indexed(documents, weights)
    return lambda question: store.similarity_search(question, 4)


class Own(BaseRetriever):
    """Holds its index where nobody sees it."""

    def __init__(self, documents, weights=1):
        super().__init__()
        self._store = indexed(documents, weights)

    def _get_relevant_documents(self, query, *, run_manager):
        return self._store.similarity_search(query, 4)


class Client:
    def __init__(self, documents, weights=1):
        self.store = indexed(documents, weights)

    def search(self, question):
        return self.store.similarity_search(question, 4)


def client(documents, weights=1):
    return Client(documents, weights).search


class Shared:
    documents = corpus()

    @classmethod
    def search(cls, question):
        return [one for one in cls.documents if question.split()[0] in one.page_content]


def of_a_class(documents):
    Shared.documents = documents
    return Shared.search


KINDS = [vector_store, searching, Own, client, of_a_class]


def compared(retriever, path, **settings):
    return compare_rerank(
        retriever,
        settings.pop("model", WordOverlapScorer()),
        RECORDS,
        first_stage_k=4,
        measures="RR@4",
        journal=path,
        progress=False,
        **settings,
    )


def chained(retriever, path, **settings):
    chain = EvaluationChain(
        {"one": retriever}, measures="RR@4", journal=path, progress=False, **settings
    )
    return chain.invoke(RECORDS)


def by_ragas(retriever, path, **settings):
    return RagasEvaluation(retriever, journal=path, progress=False, **settings).invoke(RECORDS)


def of_reranking(retriever, path, **settings):
    reranking = CrossEncoderRerankRetriever(
        base_retriever=retriever
        if isinstance(retriever, BaseRetriever)
        else RunnableLambda(retriever),
        model=WordOverlapScorer(),
        first_stage_k=4,
        top_n=3,
    )
    return by_ragas(reranking, path, **settings)


def swept(retriever, path, **settings):
    return sweep_k(
        retriever,
        WordOverlapScorer(),
        RECORDS,
        [2, 4],
        measures="RR@2",
        latency_queries=0,
        journal=path,
        progress=False,
        **settings,
    )


DOORS = [compared, chained, by_ragas, of_reranking, swept]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_index_of_the_same_class_and_settings_is_refused(door, kind, tmp_path):
    first = door(kind(corpus()), tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    resumed = door(kind(corpus()), tmp_path / "j", resume=True)
    assert resumed.warnings == first.warnings
    for changed in (
        corpus("chapter"),  # other texts of the same ids
        corpus(source="manual"),  # other metadata
        [Document(one.page_content, id=f"new-{one.id}") for one in corpus()],
    ):
        with pytest.raises(ConfigurationError, match="cannot be resumed") as caught:
            door(kind(changed), tmp_path / "j", resume=True)
        assert "For the question 'q0'" in str(caught.value)
        assert "start anew without resume" in str(caught.value)
    assert (tmp_path / "j").read_bytes().startswith(before)
    assert door(kind(corpus()), tmp_path / "j", resume=True).systems == first.systems


@pytest.mark.parametrize("door", DOORS)
def test_other_weights_under_the_same_name_are_refused_or_said(door, tmp_path):
    door(vector_store(corpus()), tmp_path / "j")
    try:
        said = door(vector_store(corpus(), weights=6), tmp_path / "j", resume=True).warnings
    except ConfigurationError as error:
        said = [str(error)]
    assert any("finds something else: rank" in one for one in said)


def test_an_index_that_got_one_document_keeps_the_scores_and_says_so(tmp_path):
    compared(vector_store(corpus()), tmp_path / "j")
    more = [*corpus(), Document("tokens note 1", id="tokens-9")]
    scorer = CountingScorer(WordOverlapScorer())
    report = compared(vector_store(more), tmp_path / "j", resume=True, model=scorer)
    assert scorer.texts == []
    said = [one for one in report.warnings if "finds something else" in one]
    assert len(said) == 1
    assert "For the question 'q6' first_stage" in said[0]
    assert "is 'tokens-9', and 3 of 4 documents are found again" in said[0]
    assert "Start anew without resume" in said[0]


def test_a_retriever_that_finds_something_else_each_time_is_said_and_not_refused(tmp_path):
    chance, documents = random.Random(3), {"all": corpus()}

    def guessing(question):
        return chance.sample(documents["all"], 4)

    compared(guessing, tmp_path / "j")
    report = compared(guessing, tmp_path / "j", resume=True)
    assert sum("something else each time" in one for one in report.warnings) == 1


def test_what_a_question_writes_into_metadata_is_no_change(tmp_path):
    def ranked(question):
        found = indexed(corpus()).similarity_search(question, 4)
        score = len(question) / 7
        return [
            one.model_copy(update={"metadata": {**one.metadata, "rank": n, "score": score}})
            for n, one in enumerate(found)
        ]

    first = compared(RunnableLambda(ranked), tmp_path / "j")
    assert compared(RunnableLambda(ranked), tmp_path / "j", resume=True).warnings == first.warnings


def stopped(door, retriever, path, after):
    """Journal of a run that was killed when so many lines were written."""
    door(retriever, path)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:after]))


HELD = {"documents": corpus()}


def of_a_global(question):
    return [one for one in HELD["documents"] if question.split()[0] in one.page_content]


@pytest.mark.parametrize("door", DOORS)
def test_a_function_that_reads_what_changed_is_found_out(door, tmp_path, monkeypatch):
    stopped(door, of_a_global, tmp_path / "j", 12)
    monkeypatch.setitem(HELD, "documents", corpus("chapter"))
    with pytest.raises(ConfigurationError, match="cannot be resumed"):
        door(of_a_global, tmp_path / "j", resume=True)


def test_what_cannot_be_asked_again_loses_nothing_that_is_finished(tmp_path):
    away = {"questions": set()}

    def flaky(question):
        if question in away["questions"]:
            raise ConnectionError("away")
        return of_a_global(question)

    stopped(compared, flaky, tmp_path / "j", 12)
    away["questions"].add(RECORDS[0]["question"])
    report = compared(flaky, tmp_path / "j", resume=True)
    assert report.counts["ok"] == len(RECORDS)


@pytest.mark.parametrize(("ms", "asked_again"), [(0, 8), (600, 3)])
def test_three_questions_are_asked_again_and_more_while_that_takes_no_second(
    ms, asked_again, tmp_path, monkeypatch
):
    now, asked = [0.0], []
    monkeypatch.setattr(stage, "perf_counter", lambda: now[0])

    def slow(question):
        asked.append(question)
        now[0] += ms / 1000
        return HELD["documents"][:4]

    compared(slow, tmp_path / "j")
    asked.clear()
    compared(slow, tmp_path / "j", resume=True)
    assert len(asked) == len(set(asked)) == asked_again
    asked.clear()
    monkeypatch.setitem(HELD, "documents", None)  # it raises, and is left alone
    compared(slow, tmp_path / "j", resume=True)
    assert len(asked) == 1


def test_nothing_is_asked_twice_of_what_asks_a_language_model(tmp_path):
    asked = []
    model = FakeListChatModel(responses=["adapters"])

    def rewritten(question):
        asked.append(question)
        model.invoke(question)
        return of_a_global(question)

    chained(rewritten, tmp_path / "j")
    count = len(asked)
    chained(rewritten, tmp_path / "j", resume=True)
    assert len(asked) == count


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (partial(of_a_global), partial(chained)),
        (partial(sorted, key=len), partial(sorted, key=str)),
        (*[lambda question, k=k: of_a_global(question)[:k] for k in (1, 2)],),
        (*[RunnableLambda(lambda _, *, k=k: k) for k in (1, 2)],),
        (RunnableLambda(len, afunc=chained), RunnableLambda(len, afunc=swept)),
        (lru_cache(of_a_global), lru_cache(chained)),
        (RunnableLambda(itemgetter("a")), RunnableLambda(itemgetter("b"))),
        (lambda _: DOCUMENTS_OF["a"], lambda _: DOCUMENTS_OF["b"]),
        ([Document("a", metadata={"x": 1})], [Document("a", metadata={"x": 2})]),
        ({"a": Document("a")}, {"a": Document("b")}),
        (
            BM25Retriever.from_documents(DOCUMENTS),
            BM25Retriever.from_documents(DOCUMENTS, k1=1.2),
        ),
        (
            BM25Retriever.from_documents(DOCUMENTS),
            BM25Retriever.from_documents(DOCUMENTS, preprocess_func=Terms("german")),
        ),
        ([*range(200)], [*range(100), *range(101, 201)]),
    ],
)
def test_what_is_stated_of_two_things_differs(first, second):
    assert identity(first, Unsaid()) == identity(first, Unsaid())
    assert identity(first, Unsaid()) != identity(second, Unsaid())


FEW = 1
DOCUMENTS_OF = {"a": Document("a"), "b": Document("b")}


def test_a_function_is_told_by_the_documents_that_it_reads_and_not_by_what_it_counts(monkeypatch):
    calls = 0

    def counting(question):
        nonlocal calls
        calls += 1
        return CORPUS

    def few(question):
        return CORPUS[:FEW]

    first, unsaid = identity(few, Unsaid()), Unsaid()
    monkeypatch.setitem(globals(), "FEW", 2)
    assert identity(few, unsaid) == first  # it may be how long to wait
    assert unsaid.held  # so it is asked
    before = identity(counting, Unsaid())
    counting("?")
    assert identity(counting, Unsaid()) == before
    monkeypatch.setitem(globals(), "CORPUS", corpus(source="manual"))
    assert identity(counting, Unsaid()) != before


CORPUS = corpus()


def test_a_secret_that_a_function_holds_stands_in_no_journal(monkeypatch):
    monkeypatch.setitem(globals(), "API_KEY", "sk-global")
    token = "sk-closed-over"

    def asking(question, *, api_key="sk-default"):
        return [API_KEY, token, api_key]  # noqa: F821 - set above

    found = json.dumps(identity(partial(asking, password="sk-partial"), Unsaid()))
    assert "asking" in found
    assert "sk-" not in found


def test_code_with_a_set_in_it_is_the_same_in_every_process():
    code = compile("lambda x: x in {'a', 'b', 'c', 'd'}", "?", "eval")
    other = compile("lambda x: x in {'d', 'c', 'b', 'a'}", "?", "eval")
    assert code_of(code) == code_of(other)


def rag(prompt, temperature):
    answer = ChatPromptTemplate.from_messages(
        [("system", prompt), ("human", "{input} {context}")]
    ) | FakeListChatModel(responses=["?"]).bind(temperature=temperature)
    return RunnablePassthrough.assign(context=lambda x: CORPUS[:2]) | RunnablePassthrough.assign(
        answer=answer
    )


@pytest.mark.parametrize("changed", [("Be long.", 0.0), ("Be short.", 0.5)])
def test_a_chain_is_told_by_its_prompt_and_its_model_wherever_they_stand(changed, tmp_path):
    def evaluated(chain, **settings):
        keys = ChainKeys(question="input")
        return EvaluationChain(
            {"rag": chain}, chain_keys=keys, journal=tmp_path / "j", progress=False, **settings
        ).invoke(RECORDS)

    evaluated(rag("Be short.", 0.0))
    evaluated(rag("Be short.", 0.0), resume=True)
    with pytest.raises(ConfigurationError, match="cannot be resumed: systems differ"):
        evaluated(rag(*changed), resume=True)


@pytest.mark.parametrize("door", [EvaluationChain, RagasEvaluation])
def test_contexts_of_another_key_are_not_taken_over(door, tmp_path):
    chain = RunnableLambda(
        lambda question: {"answer": "?", "few": CORPUS[:2], "many": CORPUS, "input": question}
    )

    def evaluated(contexts, **settings):
        keys = ChainKeys(contexts=contexts)
        return door(
            {"chain": chain}, chain_keys=keys, journal=tmp_path / "j", progress=False, **settings
        ).invoke(RECORDS)

    evaluated("few")
    with pytest.raises(ConfigurationError, match="chain_keys differ"):
        evaluated("many", resume=True)


@pytest.mark.parametrize(
    ("records", "what"),
    [
        (RECORDS[::-1], r"questions.0.0 was q0, is q7"),
        (
            [*RECORDS, {"id": "q8", "question": "more"}],
            r"questions.8 was None, is \['q8', 'more'\]",
        ),
        ([{**RECORDS[0], "question": "other"}, *RECORDS[1:]], r"questions.0.1 was adapters note"),
    ],
)
def test_other_questions_are_refused_by_the_first_that_differs(records, what, tmp_path):
    settings = {"journal": tmp_path / "j", "progress": False, "measures": "RR"}
    compare_rerank(of_a_global, WordOverlapScorer(), RECORDS, **settings)
    with pytest.raises(ConfigurationError, match=what):
        compare_rerank(of_a_global, WordOverlapScorer(), records, resume=True, **settings)


class Weights:
    def __init__(self, sign):
        self.table = [sign]


class Served(BaseDocumentCompressor):
    """Asks something that no setting tells."""

    server: Any

    def compress_documents(self, documents, query, callbacks=None):
        return sorted(documents, key=lambda one: self.server.table[0] * one.metadata["page"])[:2]


def test_a_stopped_run_does_not_go_on_with_another_compressor_of_the_same_settings(tmp_path):
    def evaluated(sign, **settings):
        return compared(of_a_global, tmp_path / "j", model=Served(server=Weights(sign)), **settings)

    first = evaluated(1)
    whole = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(whole[:-2]))
    assert evaluated(1, resume=True).systems["reranked"].measures == (
        first.systems["reranked"].measures
    )
    (tmp_path / "j").write_bytes(b"".join(whole[:-2]))
    with pytest.raises(ConfigurationError, match="'q0' reranked finds something else: rank 1 was"):
        evaluated(-1, resume=True)


class Keyed(BaseDocumentCompressor):
    id_key: str = "id"
    api_key: str = ""

    def compress_documents(self, documents, query, callbacks=None):
        return list(documents)


def test_a_key_of_metadata_is_a_setting_and_a_key_of_a_server_is_a_secret():
    found = identity(Keyed(id_key="pk", api_key="hidden"), Unsaid())
    assert found["id_key"] == "pk"
    assert "hidden" not in json.dumps(found)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "content", ["shopping: eggs\n", "shopping: eggs", '{"a": 1}', '{"a": 1}\n', "one\ntwo\nthree"]
)
def test_somebody_elses_file_is_left_as_it_is(content, resume, tmp_path):
    (tmp_path / "list").write_text(content)
    with pytest.raises(DataFileError, match=r"not written by|no line of a journal"):
        compared(of_a_global, tmp_path / "list", resume=resume)
    assert (tmp_path / "list").read_text() == content
    assert not (tmp_path / "list.old").exists()
    with pytest.raises(DataFileError):
        Verdicts(tmp_path / "list")
    assert (tmp_path / "list").read_text() == content


def test_somebody_elses_file_is_not_replaced_by_an_old_journal(tmp_path):
    compared(of_a_global, tmp_path / "j")
    journal = (tmp_path / "j").read_bytes()
    (tmp_path / "j.old").write_text("mine\n")
    with pytest.raises(DataFileError, match=r"j\.old: .* not written by langchain-rerank"):
        compared(of_a_global, tmp_path / "j")
    assert (tmp_path / "j.old").read_text() == "mine\n"
    assert (tmp_path / "j").read_bytes() == journal


def test_two_names_of_one_journal_have_one_lock(tmp_path, monkeypatch):
    monkeypatch.setattr("langchain_rerank.evaluation.run.journal._LOCK_SECONDS", 0.05)
    (tmp_path / "link").symlink_to(tmp_path / "j")
    with (
        Journal(tmp_path / "j", {"a": 1}),
        pytest.raises(ConfigurationError, match="Another run is writing"),
    ):
        Journal(tmp_path / "link", {"a": 1}, resume=True)
    with Journal(tmp_path / "link", {"a": 1}, resume=True) as journal:
        journal.put("s", "q", {"keys": []}, {})
    assert (tmp_path / "link").is_symlink()
    with Journal(tmp_path / "j", {"a": 1}, resume=True) as journal:
        assert journal.get("s", "q") == {"keys": []}


def test_a_full_disk_costs_the_journal_and_the_report_says_so(tmp_path, monkeypatch):
    real, left = lines.write, [10]

    def write(file, rows):
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        real(file, rows)

    with monkeypatch.context() as patched:
        patched.setattr(lines, "write", write)
        report = compared(of_a_global, tmp_path / "j")
    assert report.counts["ok"] == len(RECORDS)
    assert any("kept no longer" in one and "No space left" in one for one in report.warnings)
    assert compared(of_a_global, tmp_path / "j", resume=True).systems["reranked"].measures == (
        report.systems["reranked"].measures
    )
