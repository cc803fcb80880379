"""BM25: its scores, its edges, and the two packages behind it."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField

from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    InputError,
    InputTypeError,
    MissingExtraError,
)
from langchain_rerank.first_stage import BM25Retriever, depth_of, with_depth
from langchain_rerank.first_stage import bm25_index as bm25_index_module
from langchain_rerank.first_stage.bm25_index import BM25Index, BM25SIndex, RankBM25Index

BACKENDS = ["rank_bm25", "bm25s"]
TEXTS = [
    "QLoRA quantises the frozen weights to four bits.",
    "LoRA trains two small matrices beside the frozen weights.",
    "Cats sleep most of the day.",
    "",
    "A vector database holds embeddings.",
]


def documents():
    return [
        Document(text, id=f"d{i}", metadata={"source": "a.md" if i % 2 else "b.md", "i": i})
        for i, text in enumerate(TEXTS)
    ]


def ids(found):
    return [document.id for document in found]


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_are_those_of_the_lucene_form_worked_out_by_hand(backend):
    retriever = BM25Retriever.from_texts(
        ["frozen adapter adapter", "frozen", "bits bits"], backend=backend, k1=0.9, b=0.4
    )
    average = 6 / 3

    def part(df, tf, length):
        idf = math.log(1 + (3 - df + 0.5) / (df + 0.5))
        return idf * tf / (tf + 0.9 * (1 - 0.4 + 0.4 * length / average))

    found = retriever.invoke("frozen adapters frozen")
    assert [document.page_content for document in found] == ["frozen adapter adapter", "frozen"]
    assert [document.metadata["first_stage_score"] for document in found] == pytest.approx(
        [2 * part(2, 1, 3) + part(1, 2, 3), 2 * part(2, 1, 1)]
    )
    assert all(type(document.metadata["first_stage_score"]) is float for document in found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_documents_that_share_a_term_come_back(backend):
    retriever = BM25Retriever.from_documents(documents(), backend=backend)
    assert ids(retriever.invoke("frozen weights of a cat")) == ["d0", "d1", "d2"]
    assert retriever.invoke("weather") == []
    assert retriever.invoke("the of and") == []
    assert retriever.invoke("") == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_term_in_every_document_still_counts(backend):
    retriever = BM25Retriever.from_texts(["cat", "cat cat", "cat dog"], backend=backend)
    scores = [document.metadata["first_stage_score"] for document in retriever.invoke("cat")]
    assert len(scores) == 3
    assert min(scores) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_keep_the_order_of_the_corpus_also_where_k_cuts_through_them(backend):
    retriever = BM25Retriever.from_texts(
        ["cat", "dog", "cat", "cat dog", "cat", "dog"], ids=list("abcdef"), backend=backend
    )
    assert ids(retriever.invoke("cat", k=50)) == ["a", "c", "e", "d"]
    assert ids(retriever.invoke("cat", k=2)) == ["a", "c"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_document_is_never_found_even_where_only_length_counts(backend):
    retriever = BM25Retriever.from_documents(documents(), backend=backend, b=1.0)
    found = retriever.invoke("frozen weights cats database")
    assert ids(found) != []
    assert "d3" not in ids(found)
    assert all(math.isfinite(document.metadata["first_stage_score"]) for document in found)


def test_k_is_a_limit_per_retriever_and_per_call():
    retriever = BM25Retriever.from_texts(["cat"] * 9, k=3)
    assert len(retriever.invoke("cat")) == 3
    assert len(retriever.invoke("cat", k=5)) == 5
    assert len(retriever.invoke("cat", k=500)) == 9
    assert len(retriever.invoke("cat")) == 3


def test_its_depth_is_set_on_a_copy_that_shares_index_and_documents():
    base = BM25Retriever.from_texts(["cat"] * 9, k=3)
    deeper = with_depth(base, 7)
    assert (depth_of(base), depth_of(deeper)) == (3, 7)
    assert deeper.index is base.index
    assert deeper.documents is base.documents
    assert (len(deeper.invoke("cat")), len(base.invoke("cat"))) == (7, 3)


def test_a_filter_is_applied_before_the_cut():
    retriever = BM25Retriever.from_documents(documents(), k=1)
    query = "frozen weights"
    assert ids(retriever.invoke(query)) == ["d0"]
    assert ids(retriever.invoke(query, filter={"source": "a.md"})) == ["d1"]
    assert ids(retriever.invoke(query, filter={"i": [1, 4]})) == ["d1"]
    assert ids(retriever.invoke(query, filter=lambda document: document.id != "d0")) == ["d1"]
    assert retriever.invoke(query, filter={"absent": None}) == []


@pytest.mark.parametrize("given", [{"i": {"$gt": 1}}, {"$and": []}, "source = a.md"])
def test_a_filter_that_cannot_be_applied_is_refused(given):
    with pytest.raises(ConfigurationError, match="function of a document"):
        BM25Retriever.from_documents(documents()).invoke("cats", filter=given)


def test_an_async_filter_is_refused_since_it_would_let_everything_through():
    async def owned_by_me(document):
        return False

    retriever = BM25Retriever.from_documents(documents())
    for given in (owned_by_me, partial(owned_by_me)):
        with pytest.raises(ConfigurationError, match="is an async function"):
            retriever.invoke("cats", filter=given)


def test_a_document_without_metadata_has_none_that_a_filter_asks_for():
    bare = Document.model_construct(page_content="cats", metadata=None, id="bare", type="Document")
    retriever = BM25Retriever.from_documents([bare, Document("cats", metadata={"i": 1})])
    assert [one.metadata["i"] for one in retriever.invoke("cats", filter={"i": 1})] == [1]


def test_metadata_that_is_a_list_is_met_by_one_of_its_elements():
    tagged = Document("cats", id="tagged", metadata={"tags": ["pets", "home"]})
    retriever = BM25Retriever.from_documents([tagged, Document("cats", metadata={"tags": "wild"})])
    for given in ("home", ["home", "garden"], ("home",), {"home"}, {"home": 1}.keys()):
        assert [one.id for one in retriever.invoke("cats", filter={"tags": given})] == ["tagged"]
    assert retriever.invoke("cats", filter={"tags": "hom"}) == []


def test_a_range_of_values_is_a_list_of_values():
    retriever = BM25Retriever.from_documents(documents())
    assert ids(retriever.invoke("frozen weights", filter={"i": range(1, 3)})) == ["d1"]


async def test_async_takes_the_same_arguments_and_gives_the_same_documents():
    retriever = BM25Retriever.from_documents(documents())
    call = {"k": 2, "filter": {"source": "b.md"}}
    assert await retriever.ainvoke("frozen cats", **call) == retriever.invoke("frozen cats", **call)
    with pytest.raises(ConfigurationError, match="fliter"):
        await retriever.ainvoke("frozen cats", fliter=None)


def test_an_argument_it_does_not_know_is_an_error():
    with pytest.raises(ConfigurationError, match=r"takes k and filter per call, got fliter"):
        BM25Retriever.from_documents(documents()).invoke("cats", fliter={"i": 1})
    with pytest.raises(ValueError, match="top_k"):
        BM25Retriever.from_documents(documents(), top_k=3)


def test_stored_and_given_documents_are_never_changed():
    given = documents()
    before = copy.deepcopy(given)
    retriever = BM25Retriever.from_documents(given)
    found = retriever.invoke("frozen weights")
    found[0].metadata["first_stage_score"] = -1.0
    found[0].metadata["new"] = True
    retriever.invoke("cats")
    assert given == before
    assert retriever.documents == before
    assert "new" not in retriever.invoke("frozen weights")[0].metadata


def test_copies_keep_id_type_and_metadata():
    class Page(Document):
        page: int = 1

    page = Page(page_content="cats", id="p", metadata={"a": [1]}, page=7)
    found = BM25Retriever.from_documents([page]).invoke("cat")[0]
    assert isinstance(found, Page)
    assert (found.id, found.page, found.metadata["a"]) == ("p", 7, [1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_pickled_and_deep_copied_it_finds_the_same(backend):
    retriever = BM25Retriever.from_documents(documents(), backend=backend)
    expected = retriever.invoke("frozen cats")
    assert pickle.loads(pickle.dumps(retriever)).invoke("frozen cats") == expected
    assert copy.deepcopy(retriever).invoke("frozen cats") == expected


def test_configurable_fields_keep_the_index():
    retriever = BM25Retriever.from_texts(["cat"] * 9, k=3).configurable_fields(
        k=ConfigurableField(id="k")
    )
    assert len(retriever.invoke("cat", {"configurable": {"k": 6}})) == 6
    assert len(retriever.invoke("cat")) == 3


def test_an_own_preprocess_func_reads_documents_and_queries():
    retriever = BM25Retriever.from_texts(["AAB", "BBA"], preprocess_func=list)
    assert [document.page_content for document in retriever.invoke("A")] == ["AAB", "BBA"]
    assert retriever.invoke("a") == []


def test_auto_takes_the_inverted_index_for_large_corpora(monkeypatch):
    monkeypatch.setattr(bm25_index_module, "AUTO_LIMIT", 3)
    few, many = (BM25Index([Document("a")] * n, [["a"]] * n) for n in (3, 4))
    assert isinstance(few._scoring, RankBM25Index)
    assert isinstance(many._scoring, BM25SIndex)


def test_no_documents_or_none_with_a_term_is_an_error_that_says_so():
    with pytest.raises(InputError, match="got no documents"):
        BM25Retriever.from_documents([])
    with pytest.raises(InputError, match="None of the 2 documents has a term"):
        BM25Retriever.from_texts([" \n ", "the of ..."])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "at least 1"),
        ({"k1": 0.0}, "k1=0.0"),
        ({"k1": math.inf}, "k1=inf"),
        ({"b": 1.5}, r"b=1\.5"),
        ({"backend": "lucene"}, "backend='lucene'"),
        ({"ids": ["1", "2"]}, "1 texts, 1 metadatas and 2 ids"),
        ({"metadatas": []}, "1 texts, 0 metadatas and 1 ids"),
    ],
)
def test_an_impossible_setting_is_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        BM25Retriever.from_texts(["cat"], **settings)


def test_documents_and_texts_that_are_mixed_up_are_told_apart():
    with pytest.raises(InputTypeError, match="from_texts"):
        BM25Retriever.from_documents(["cat"])
    with pytest.raises(InputTypeError, match="from_documents"):
        BM25Retriever.from_texts([Document("cat")])
    with pytest.raises(InputTypeError, match="query must be a string"):
        BM25Retriever.from_texts(["cat"]).invoke(3)


@pytest.mark.parametrize("package", ["rank_bm25", "bm25s", "Stemmer"])
def test_a_missing_package_names_the_extra(package, monkeypatch):
    # None in sys.modules is how Python marks a module that must not be found.
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("langchain_rerank.first_stage.terms._of_thread", type("Empty", (), {})())
    backend = "bm25s" if package == "bm25s" else "rank_bm25"
    with pytest.raises(MissingExtraError, match=r"langchain-rerank\[bm25\]"):
        BM25Retriever.from_texts(["cat"], backend=backend)


def test_arrays_and_what_cannot_be_compared_are_no_obstacle_to_a_filter():
    cyclic: list[object] = []
    cyclic.append(cyclic)
    other: list[object] = []
    other.append(other)
    metadatas = [
        {"page": 1, "box": np.array([1, 2])},
        {"page": 2, "box": np.array([1, 3])},
        {"page": 3, "box": None, 7: "x"},
        {"page": 4, "box": cyclic},
        {"page": 5, "box": pd.NA},
    ]
    retriever = BM25Retriever.from_texts(["cat"] * 5, metadatas, ids=list("abcde"))
    found = [
        ids(retriever.invoke("cat", filter=given))
        for given in (
            {"page": np.array([1, 3])},
            {"page": pd.Series([2])},
            {"page": {1, 2}},
            {"box": [np.array([1, 3])]},
            {"box": (None,)},
            {"box": {1, 2}},
            {"box": [other]},
            {"page": np.int64(2)},
            {7: "x"},
        )
    ]
    expected = [*(["a", "c"], ["b"], ["a", "b"], ["b"], ["c"], [], [], ["b"], ["c"])]
    assert found == expected


def test_documents_are_added_replaced_and_deleted():
    retriever = BM25Retriever.from_documents(documents())
    copied, index = with_depth(retriever, 7), retriever.index
    retriever.add_documents([Document("Owls hunt cats.", id="owl"), Document("Dogs.", id="d2")])
    assert ids(retriever.invoke("cats")) == ["owl"]
    assert ids(retriever.invoke("dogs")) == ["d2"]
    assert ids(copied.invoke("cats")) == ["d2"]  # copies see what was there
    assert index is copied.index
    retriever.delete(["d0", "d2"])
    assert ids(retriever.invoke("frozen dogs")) == ["d1"]
    assert [document.id for document in retriever.documents] == ["d1", "d3", "d4", "owl"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_changed_retriever_finds_what_one_built_of_the_same_documents_does(backend):
    more = [Document("Frozen cats and owls.", id="x"), Document("Four owls.", id="y")]
    changed = BM25Retriever.from_documents(documents(), backend=backend)
    changed.add_documents(more)
    changed.delete(["d1"])
    whole = [*documents(), *more]
    built = BM25Retriever.from_documents([d for d in whole if d.id != "d1"], backend=backend)
    assert changed.invoke("four frozen owls cats") == built.invoke("four frozen owls cats")


def test_documents_of_an_empty_id_replace_none():
    retriever = BM25Retriever.from_texts(["cat one", "cat two"], ids=["", ""])
    retriever.add_documents([Document("cat three", id=""), Document("cat four", id="")])
    assert len(retriever.invoke("cat")) == 4


def test_all_documents_may_be_deleted_and_others_added():
    retriever = BM25Retriever.from_texts(["cat"], ids=["a"])
    retriever.delete(["a"])
    assert retriever.invoke("cat") == []
    retriever.add_documents([Document("Cats.", id="b")])
    assert ids(retriever.invoke("cat")) == ["b"]


def test_an_unknown_id_deletes_nothing():
    retriever = BM25Retriever.from_documents(documents())
    with pytest.raises(InputError, match="No document has the id 'nope'"):
        retriever.delete(["d0", "nope"])
    assert len(retriever.documents) == 5
    with pytest.raises(InputTypeError, match="one string"):
        retriever.delete("d0")
    with pytest.raises(InputTypeError, match=r"documents\[0\]"):
        retriever.add_documents(["cat"])


def test_threads_that_search_while_others_add_see_one_state_of_the_corpus():
    retriever = BM25Retriever.from_texts(["cat 0"], ids=["0"], k=1000)

    def add(number):
        retriever.add_documents([Document(f"cat {number}", id=str(number))])
        return len(retriever.invoke("cat"))

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(add, range(1, 41)))
    assert max(seen) == 41
    assert sorted(ids(retriever.invoke("cat")), key=int) == [str(n) for n in range(41)]


@pytest.mark.parametrize("settings", [{}, {"language": "german"}, {"preprocess_func": str.split}])
def test_saved_and_loaded_it_finds_the_same(tmp_path, settings):
    given = [
        *documents(),
        Document("Häuser \ud800 北京", id=None, metadata={"n": {"list": [1, None, 2.5]}}),
    ]
    retriever = BM25Retriever.from_documents(given, k=3, k1=1.2, b=0.7, **settings)
    retriever.save(tmp_path / "kept.jsonl")
    loaded = BM25Retriever.load(
        tmp_path / "kept.jsonl", preprocess_func=settings.get("preprocess_func")
    )
    assert loaded.documents == given
    assert loaded.k == 3
    for query in ("Haus", "frozen weights", "北京"):
        assert loaded.invoke(query) == retriever.invoke(query)
    assert (
        len(
            BM25Retriever.load(
                tmp_path / "kept.jsonl", preprocess_func=settings.get("preprocess_func"), k=1
            ).invoke("frozen")
        )
        == 1
    )
    loaded.add_documents([Document("frozen frozen", id="new")])
    assert loaded.invoke("frozen")[0].id == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.jsonl"]


def test_terms_of_an_earlier_version_are_cut_anew_on_loading(tmp_path, monkeypatch):
    retriever = BM25Retriever.from_texts(["cats"])
    retriever.index.corpus[0][:] = ["of-long-ago"]
    monkeypatch.setattr("langchain_rerank.first_stage.terms.VERSION", 1)
    retriever.save(tmp_path / "kept.jsonl")
    monkeypatch.undo()
    assert len(BM25Retriever.load(tmp_path / "kept.jsonl").invoke("cat")) == 1


def test_what_a_file_would_not_give_back_is_not_saved(tmp_path):
    class Page(Document):
        page: int = 1

    cyclic: dict[str, object] = {}
    cyclic["self"] = cyclic
    path = tmp_path / "kept.jsonl"
    BM25Retriever.from_texts(["cat"]).save(path)
    before = path.read_bytes()
    for metadata in ({"a": (1, 2)}, {"a": {1: 2}}, {"a": [{"b": dt.date.today()}]}, cyclic):
        with pytest.raises(InputError, match="cannot be saved: metadata"):
            BM25Retriever.from_texts(["cat"], [metadata]).save(path)
    with pytest.raises(InputTypeError, match="Page"):
        BM25Retriever.from_documents([Page(page_content="cat")]).save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["kept.jsonl"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "not a file of BM25Retriever.save"),
        (lambda text: "[1]\n", "not an object in JSON"),
        (lambda text: '{"format": 1}', "not a file of BM25Retriever.save"),
        (lambda text: text[:-20], "not an object in JSON"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "1 of 2 documents are there"),
        (lambda text: text.replace('"text"', '"txet"'), "damaged"),
        (lambda text: text.replace('"k1": 0.9', '"k1": -1'), "damaged.*k1=-1"),
        (lambda text: text.replace('"k": 50', '"k": 0'), "damaged.*k=0"),
        (lambda text: text.replace('["cat"]', '"cat"'), "damaged.*no list"),
        (lambda text: text.replace('["cat"]', '{"cat": 1}'), "damaged.*no list"),
        (lambda text: text.replace('"english"', '"klingon"'), "damaged.*klingon"),
        (lambda text: "[" * 100_000, "not an object in JSON"),
        (lambda text: text + "\N{SNOWMAN}", "not an object in JSON"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path, damage, message):
    path = tmp_path / "kept.jsonl"
    BM25Retriever.from_texts(["cat", "dog"]).save(path)
    path.write_text(damage(path.read_text()), encoding="utf-8")
    with pytest.raises(DataFileError, match=message):
        BM25Retriever.load(path)


@pytest.mark.parametrize("cut", [str.lower, str.encode, len, lambda text: None])
def test_a_function_that_gives_no_list_of_terms_is_one_clear_error(cut):
    with pytest.raises(InputTypeError, match=r"preprocess_func gave .* for 'Cats sleep'"):
        BM25Retriever.from_texts(["Cats sleep"], preprocess_func=cut)
    retriever = BM25Retriever.from_texts(["cats"], preprocess_func=lambda text: iter(text.split()))
    assert len(retriever.invoke("cats")) == 1
    retriever.preprocess_func = cut
    with pytest.raises(InputTypeError, match="preprocess_func gave"):
        retriever.invoke("cats")
    with pytest.raises(InputTypeError, match="preprocess_func gave"):
        retriever.add_documents([Document("cats")])


def test_of_several_that_are_added_with_one_id_the_last_stays():
    retriever = BM25Retriever.from_texts(["cat"], ids=["a"])
    added = [("dog", "b"), ("owl", "a"), ("bat", None), ("elk", "b"), ("bat", None)]
    retriever.add_documents([Document(text, id=name) for text, name in added])
    assert [(d.page_content, d.id) for d in retriever.documents] == [
        *(("owl", "a"), ("bat", None), ("elk", "b"), ("bat", None)),
    ]
    for wrong in (None, 5):
        with pytest.raises(InputTypeError, match="ids"):
            retriever.delete(wrong)


def test_a_file_that_cannot_be_written_is_told_by_its_name(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "kept.jsonl"):
        with pytest.raises(OSError, match=f"{path.name}'$"):
            BM25Retriever.from_texts(["cat"]).save(path)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_function_of_ones_own_is_asked_for_on_loading(tmp_path):
    path = tmp_path / "kept.jsonl"
    BM25Retriever.from_texts(["cat"], preprocess_func=str.split).save(path)
    with pytest.raises(ConfigurationError, match="with a preprocess_func: pass the same one"):
        BM25Retriever.load(path)
    BM25Retriever.from_texts(["cat"]).save(path)
    with pytest.raises(ConfigurationError, match="without one: pass none"):
        BM25Retriever.load(path, preprocess_func=str.split)
    with pytest.raises(DataFileError, match="cannot be read: No such file"):
        BM25Retriever.load(tmp_path / "missing.jsonl")
