"""The kept index: only what is new is computed, whatever happens to files, store and processes."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import ConfigurableField

from langchain_rerank import optional
from langchain_rerank.errors import ConfigurationError, DataFileError, InputError, RerankWarning
from langchain_rerank.files import load_documents, loading
from langchain_rerank.first_stage import IndexRetriever, hybrid_retriever, with_depth
from langchain_rerank.first_stage.kept import database, refresh, store, upkeep
from langchain_rerank.first_stage.kept.opening import opened
from langchain_rerank.first_stage.terms import Terms

QUERIES = ("sleeping cats", "four bits", "animals", "北京", "note 7", "nothing like it")


class Letters(Embeddings):
    """Embeds by counting letters; knows how many texts it embedded."""

    def __init__(self, dim=16):
        self.dim = dim
        self.embedded = []

    def embed_documents(self, texts):
        self.embedded.extend(texts)
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        vector = np.zeros(self.dim, dtype=np.float32)
        for letter in text.lower():
            vector[ord(letter) % self.dim] += 1
        return (vector / (np.linalg.norm(vector) or 1)).tolist()


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    for number in range(12):
        write(folder / f"{number:02}.md", f"Note {number} says that cats sleep {number} hours.")
    write(folder / "deep" / "bits.txt", "QLoRA quantises weights to four bits. 北京")
    write(folder / "rows.jsonl", '{"_id": "r1", "text": "Dogs bark.", "metadata": {"n": [1, 2.5]}}')
    return folder


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept" / "index.sqlite3"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)


def opened_index(notes, kept, embeddings=None, **settings):
    settings = {"embedding_key": "letters", **settings}
    return IndexRetriever.from_files(
        notes, embeddings=embeddings or Letters(), store=kept, **settings
    )


def hits(retriever, query, **call):
    return [
        (d.id, d.page_content, d.metadata["source"], pytest.approx(d.metadata["first_stage_score"]))
        for d in retriever.invoke(query, **call)
    ]


def settled(monkeypatch):
    """Let files count as settled at once, as two seconds later they would."""
    monkeypatch.setattr(refresh, "_SETTLED_NS", -(10**18))


@pytest.mark.parametrize("kind", ["bm25", "dense", "hybrid"])
def test_hits_are_those_without_an_index_in_ids_order_and_scores(notes, kept, kind):
    plain = hybrid_retriever(load_documents(notes), Letters(), k=50)
    expected = {"bm25": plain.retrievers[0], "dense": plain.retrievers[1], "hybrid": plain}[kind]
    for _ in range(2):  # written, then read
        found = (
            opened_index(notes, kept, kind=kind)
            if kind != "bm25"
            else (IndexRetriever.from_files(notes, kind="bm25", store=kept))
        )
        for query in QUERIES:
            assert hits(found, query) == hits(expected, query), query
            assert hits(found, query, k=3) == hits(expected, query, k=3)
            given = {"source": "03.md"}
            assert hits(found, query, filter=given) == hits(expected, query, filter=given)
    assert found.documents == load_documents(notes)


async def test_it_is_a_retriever_with_a_depth_and_async(notes, kept):
    retriever = opened_index(notes, kept, k=4)
    assert len(retriever.invoke("cats")) == 4
    assert len(with_depth(retriever, 7).invoke("cats")) == 7
    assert await retriever.ainvoke("cats", k=2) == retriever.invoke("cats", k=2)
    with pytest.raises(ConfigurationError, match="fliter"):
        retriever.invoke("cats", fliter={})


def test_configurable_and_copied_it_keeps_what_it_holds(notes, kept):
    retriever = opened_index(notes, kept, k=4)
    configurable = retriever.configurable_fields(k=ConfigurableField(id="k"))
    for k in (1, 2):
        assert len(configurable.invoke("cats", {"configurable": {"k": k}})) == k
    for copied in (copy.deepcopy(retriever), pickle.loads(pickle.dumps(retriever))):
        assert copied.invoke("cats") == retriever.invoke("cats")
        assert copied != retriever
    assert retriever == copy.copy(retriever)


def test_a_second_opening_reads_and_embeds_nothing(notes, kept, monkeypatch):
    opened_index(notes, kept)
    settled(monkeypatch)
    opened_index(notes, kept)
    model = Letters()
    monkeypatch.setattr(loading, "read_file", lambda *_: pytest.fail("a file was read"))
    found = opened_index(notes, kept, model)
    assert model.embedded == []
    assert len(found.documents) == 14


def added(notes):
    write(notes / "05b.md", "A new note on owls.")
    return ["A new note on owls."], 1


def changed(notes):
    write(notes / "03.md", "Note 3 changed its mind.")
    return ["Note 3 changed its mind."], 1


def changed_to_the_same_size_and_time(notes):
    facts = (notes / "03.md").stat()
    write(notes / "03.md", (notes / "03.md").read_text().replace("cats", "owls"))
    os.utime(notes / "03.md", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return ["Note 3 says that owls sleep 3 hours."], 1


def moved(notes):
    (notes / "03.md").rename(notes / "deep" / "moved.md")
    return [], 1


def touched(notes):
    os.utime(notes / "03.md")
    return [], 1


def deleted(notes):
    (notes / "03.md").unlink()
    return [], 0


def copied(notes):
    write(notes / "copy.md", (notes / "03.md").read_text())
    return [], 1


def swapped(notes):
    one, other = (notes / "03.md").read_text(), (notes / "04.md").read_text()
    write(notes / "03.md", other)
    write(notes / "04.md", one)
    return [], 2


@pytest.mark.parametrize(
    "change",
    [added, changed, changed_to_the_same_size_and_time, moved, touched, deleted, copied, swapped],
)
def test_a_change_costs_what_changed_and_hits_stay_those_of_a_fresh_index(
    notes, kept, change, monkeypatch
):
    settled(monkeypatch)
    opened_index(notes, kept)
    new, read = change(notes)
    model = Letters()
    retriever = opened_index(notes, kept, Letters())
    retriever.embeddings = model
    change_again = opened_index(notes, kept, model)
    assert model.embedded == []
    assert retriever.documents == load_documents(notes) == change_again.documents
    other = Letters()
    monkeypatch.undo()
    settled(monkeypatch)
    fresh = opened_index(notes, None, other)
    for query in QUERIES:
        assert hits(retriever, query) == hits(fresh, query)
    assert (set(new) <= set(other.embedded), read >= 0) == (True, True)


@pytest.mark.parametrize(
    "change",
    [added, changed, changed_to_the_same_size_and_time, moved, touched, deleted, copied, swapped],
)
def test_refreshing_reads_and_embeds_only_what_changed(notes, kept, change, monkeypatch):
    settled(monkeypatch)
    model = Letters()
    retriever = opened_index(notes, kept, model)
    model.embedded.clear()
    new, read = change(notes)
    found = retriever.refresh()
    assert model.embedded == new
    assert (found.read, found.embedded) == (read, len(new))
    assert retriever.documents == load_documents(notes)


def test_a_file_that_changes_right_after_it_was_read_is_read_again(notes, kept):
    os.utime(notes / "03.md")
    retriever = opened_index(notes, kept)
    assert retriever.refresh().read >= 1  # no time has passed: it may have changed unseen


def test_other_settings_make_other_entries_and_leave_those_before(notes, kept, monkeypatch):
    settled(monkeypatch)
    one, other = Letters(), Letters(dim=8)
    opened_index(notes, kept, one)
    opened_index(notes, kept, other, embedding_key="other")
    assert len(other.embedded) == len(one.embedded) == 14
    small = opened_index(notes, kept, one, chunk_size=20)
    assert max(len(d.page_content) for d in small.documents) <= 20
    german = opened_index(notes, kept, one, language="german")
    assert german.invoke("katze") == german.invoke("katze")
    one.embedded.clear()
    again = opened_index(notes, kept, one)
    assert one.embedded == []
    assert again.documents == load_documents(notes)


def test_vectors_of_another_length_under_the_same_key_are_made_again(notes, kept):
    opened_index(notes, kept, Letters())
    write(notes / "new.md", "Something new.")
    other = Letters(dim=8)
    retriever = opened_index(notes, kept, other)
    assert len(set(other.embedded)) == 15
    assert retriever.invoke("new")


def test_a_model_that_gives_too_few_vectors_is_one_clear_error(notes, kept):
    class Lazy(Letters):
        def embed_documents(self, texts):
            return super().embed_documents(texts)[1:]

    with pytest.raises(InputError, match=r"gave 13 vectors .* for 14 texts"):
        opened_index(notes, kept, Lazy())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_vectors_that_are_no_numbers_are_refused_and_not_kept(notes, kept, number):
    class Broken(Letters):
        def embed_query(self, text):
            vector = super().embed_query(text)
            return [number, *vector[1:]] if "bark" in text else vector

    with pytest.raises(InputError, match=r"1 of 14 vectors with NaN or infinity"):
        opened_index(notes, kept, Broken())
    with pytest.raises(InputError, match=r"1 of 14 vectors with NaN or infinity"):
        hybrid_retriever(load_documents(notes), Broken())
    sound = opened_index(notes, kept)
    sound.embeddings = Broken()
    sound.refresh()
    with pytest.raises(InputError, match="1 of 1 vectors"):
        sound.invoke("who barks")


def test_an_index_that_was_not_built_says_how_and_an_assigned_language_is_checked(notes, kept):
    bare = IndexRetriever(files=[notes], kind="bm25")
    for use in (lambda: bare.invoke("cats"), lambda: bare.found, lambda: bare.documents):
        with pytest.raises(ConfigurationError, match=r"build it with IndexRetriever.from_files"):
            use()
    bare.refresh()
    assert bare.invoke("cats")
    with pytest.raises(ValueError, match="klingon"):
        bare.language = "klingon"
    bare.language = "de"
    assert bare.language == "german"


def test_a_file_of_a_folder_that_is_named_itself_leaves_the_folder_as_it_is(
    notes, kept, monkeypatch
):
    settled(monkeypatch)
    opened_index(notes, kept)
    for root in (notes / "00.md", notes / "deep", notes):
        for read in (0 if root == notes else 1, 0):
            found = opened_index(root, kept)
            assert found.documents == load_documents(root)
            assert (found.found.read, found.found.embedded) == (read, 0)


def test_two_roots_and_overlapping_ones_find_what_they_find_without(notes, kept, tmp_path):
    write(tmp_path / "more" / "00.md", "Another folder on cats.")
    for roots in ([notes, tmp_path / "more"], [notes, notes / "deep"], [notes / "00.md", notes]):
        for _ in range(2):
            assert opened_index(roots, kept).documents == load_documents(roots)
    assert opened_index(notes, kept).documents == load_documents(notes)


def test_paths_that_overlap_leave_what_is_kept_of_each_other(notes, kept, tmp_path, monkeypatch):
    settled(monkeypatch)
    write(tmp_path / "more" / "00.md", "Another folder on cats.")
    several = ([notes], [notes / "deep"], [notes, notes / "deep"], [notes, tmp_path / "more"])
    several = [*several, [tmp_path / "more"]]
    for roots in several:
        opened_index(roots, kept)
    for roots in several:
        assert opened_index(roots, kept).found.read == 0
        assert opened_index(roots, kept).documents == load_documents(roots)


def test_metadata_that_json_cannot_hold_comes_back_as_it_is(tmp_path, kept):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "rows.parquet"
    pandas.DataFrame({"text": ["Cats."], "day": [pandas.Timestamp("2024-05-01")]}).to_parquet(path)
    for _ in range(2):
        assert opened_index(path, kept).documents == load_documents(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_and_texts_with_lone_surrogates_are_kept(notes, kept):
    (notes / "03.md").rename(os.fsdecode(os.fsencode(notes) + b"/caf\xe9.md"))
    write(notes / "rows.jsonl", json.dumps({"_id": "\ud800", "text": "Cats \ud800."}))
    for _ in range(2):
        assert opened_index(notes, kept).documents == load_documents(notes)


def test_another_version_of_what_reads_and_cuts_reads_and_cuts_anew(notes, kept, monkeypatch):
    settled(monkeypatch)
    opened_index(notes, kept)
    assert opened_index(notes, kept).found.read == 0
    monkeypatch.setattr(optional, "version_of", lambda package: "99")
    monkeypatch.setattr(Terms, "_terms", lambda *_, **__: ["other"])
    found = opened_index(notes, kept)
    assert (found.found.read, found.found.embedded) == (14, 0)
    assert list(found.found.terms)[-1] == "other"
    assert all(len(one) == 1 for one in found.found.counts)


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "hostile"
    texts = {
        "line\nbreak.md": "A name with a line break.",
        os.fsdecode(b"caf\xe9.txt"): "A name that is not UTF-8.",
        "-rf.md": "A name like an option.",
        "'; DROP TABLE text; --.md": "A name like a command.",
        "\x1b[31mred.txt": "A name that colours terminals.",
        "CASE.md": "Upper case.",
        "case.md": "Lower case.",
        "empty.md": "",
        "blank.txt": " \n\n ",
        "one.md": "The same text twice.",
        "deep/two.md": "The same text twice.",
        "long.txt": "Words follow words. " * 5000,
        "x" * 240 + ".txt": "A long name.",
    }
    for name, text in texts.items():
        write(folder / name, text)
    (folder / "circle").symlink_to(folder)
    (folder / "self.md").symlink_to(folder / "self.md")
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    (folder / "twice.md").symlink_to(folder / "one.md")
    (folder / "a.md").mkdir()
    return folder


@pytest.mark.filterwarnings("ignore:What cannot be read")
@pytest.mark.parametrize("follow", [False, True])
def test_names_and_files_that_nobody_expects_are_found_as_without_an_index(hostile, kept, follow):
    expected = load_documents(hostile, follow_symlinks=follow)
    assert len({d.metadata["source"] for d in expected}) == 11  # two have no text
    for _ in range(2):
        assert opened_index(hostile, kept, follow_symlinks=follow).documents == expected
    moved = hostile.rename(hostile.with_name("moved"))
    (moved / "circle").unlink()
    found = opened_index(moved, kept, follow_symlinks=follow)
    assert found.documents == load_documents(moved, follow_symlinks=follow)
    assert found.found.embedded == 0


def test_other_content_of_the_same_size_and_time_is_seen(notes, kept, monkeypatch):
    settled(monkeypatch)
    opened_index(notes, kept)
    for name in ("03.md", "04.md"):
        path = notes / name
        facts, text = path.stat(), path.read_text().replace("cats", "owls")
        if name == "04.md":  # as editors save: another file of that name
            path = path.with_suffix(".new")
        path.write_text(text)
        path.rename(notes / name)
        os.utime(notes / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert (notes / name).stat().st_size == facts.st_size
    found = opened_index(notes, kept)
    assert found.found.read == 2
    assert found.documents == load_documents(notes)


@pytest.mark.parametrize("hours", [-1000, 1000])
def test_a_clock_that_is_set_changes_no_hit(notes, kept, monkeypatch, hours):
    true, by_seconds = time.time_ns, time.time
    opened_index(notes, kept)
    for moved in (hours, 0):
        monkeypatch.setattr(time, "time_ns", lambda moved=moved: true() + moved * 3_600 * 10**9)
        monkeypatch.setattr(time, "time", lambda moved=moved: by_seconds() + moved * 3_600)
        write(notes / "03.md", f"Note 3 was written {moved} hours from now.")
        assert opened_index(notes, kept).documents == load_documents(notes)


@pytest.mark.filterwarnings("ignore:What cannot be read")
def test_files_that_change_or_vanish_while_they_are_read_are_read_as_they_are_next_time(
    notes, kept, monkeypatch
):
    read = loading.read_file

    def disturbed(file, settings):
        if file.source == "02.md":
            (notes / "05.md").unlink()
            write(notes / "06.md", "Changed after it was listed.")
        found = read(file, settings)
        if file.source == "07.md":
            write(notes / "07.md", "Changed after it was read!")
        return found

    monkeypatch.setattr(loading, "read_file", disturbed)
    first = opened_index(notes, kept).documents
    assert "05.md" not in [d.metadata["source"] for d in first]
    assert "Changed after it was listed." in [d.page_content for d in first]
    monkeypatch.undo()
    assert opened_index(notes, kept).documents == load_documents(notes)


def test_what_is_kept_is_private(notes, kept):
    opened_index(notes, kept)
    assert kept.stat().st_mode & 0o077 == 0


def damaged_header(path):
    path.write_bytes(b"no database at all" * 100)


def damaged_middle(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = os.urandom(4096)
    path.write_bytes(data)


def damaged_everywhere_but_the_header(path):
    data = path.read_bytes()
    path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))


def damaged_text(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE text SET body = x'00' WHERE n = 3")


def damaged_vector(path):
    with closing(sqlite3.connect(path)) as db, db:
        (blob,) = db.execute("SELECT numbers FROM vector WHERE text = 3").fetchone()
        db.execute("UPDATE vector SET numbers = ? WHERE text = 3", (blob[:-4] + b"\1\2\3\4",))


def damaged_terms(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE counts SET numbers = x'0102' WHERE text = 3")


def without_a_text(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM text WHERE n = 3")


def damaged_metadata(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE chunk SET data = replace(data, '03.md', '04.md')")


def passages_of_each_other(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE chunk SET text = 3 WHERE text = 4")


def vectors_of_each_other(path):
    with closing(sqlite3.connect(path)) as db, db:
        for before, after in ((1, 99), (2, 1), (99, 2)):
            db.execute("UPDATE vector SET text = ? WHERE text = ?", (after, before))


def other_terms(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE term SET term = CAST(term || 'z' AS BLOB)")


def without_a_table(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE counts")


def without_a_column(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE file DROP COLUMN stamp")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-5000])


def of_a_newer_version(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        *(damaged_header, damaged_middle, damaged_everywhere_but_the_header, damaged_text),
        *(damaged_vector, damaged_terms, without_a_text, cut_short, of_a_newer_version, emptied),
        *(damaged_metadata, passages_of_each_other, vectors_of_each_other, other_terms),
        *(without_a_table, without_a_column),
    ],
)
@pytest.mark.filterwarnings("ignore:The kept index is of no use now")
def test_a_damaged_store_changes_no_hit_and_is_made_anew(notes, kept, damage, monkeypatch):
    settled(monkeypatch)
    expected = [hits(opened_index(notes, kept), query) for query in QUERIES]
    damage(kept)
    assert [hits(opened_index(notes, kept), query) for query in QUERIES] == expected
    model = Letters()
    assert [hits(opened_index(notes, kept, model), query) for query in QUERIES] == expected
    assert model.embedded == []  # kept again


def test_a_damaged_store_is_set_aside_with_a_warning(notes, kept):
    opened_index(notes, kept)
    damaged_header(kept)
    with pytest.warns(RerankWarning, match=r"damaged .* set aside as index.sqlite3.damaged"):
        opened_index(notes, kept)
    assert kept.with_name("index.sqlite3.damaged").read_bytes().startswith(b"no database")


def test_the_database_of_another_program_is_refused_and_left_as_it_is(notes, tmp_path):
    path = tmp_path / "app.sqlite3"
    for version in (0, 3, 7):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"PRAGMA user_version = {version}")
            db.execute("CREATE TABLE IF NOT EXISTS users (name TEXT)")
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="database of another program"):
            opened_index(notes, path)
        assert path.read_bytes() == before
        assert not path.with_name("app.sqlite3.damaged").exists()


def test_a_store_that_cannot_be_there_costs_a_warning_and_no_hit(notes, tmp_path):
    expected = [hits(opened_index(notes, None), query) for query in QUERIES]
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.sqlite3").mkdir()
    for path in (tmp_path / "file" / "index.sqlite3", tmp_path / "folder.sqlite3"):
        with pytest.warns(RerankWarning, match="cannot be used"):
            found = opened_index(notes, path)
        assert [hits(found, query) for query in QUERIES] == expected


@pytest.mark.parametrize("block", ["put_files", "put_counts", "put_vectors"])
def test_a_disk_that_fills_up_loses_nothing_that_was_computed(notes, kept, monkeypatch, block):
    expected = [hits(opened_index(notes, None), query) for query in QUERIES]
    monkeypatch.setattr(refresh, "BLOCK", 3)
    before = getattr(store.Store, block)

    def on_a_full_disk(self, *arguments):
        if self.path is not None:
            (pages,) = self.db.execute("PRAGMA page_count").fetchone()
            self.db.execute(f"PRAGMA max_page_count = {pages}")
        return before(self, *arguments)

    monkeypatch.setattr(store.Store, block, on_a_full_disk)
    for number in range(40):
        write(notes / f"more{number}.md", f"Note {number}. " + f"word{number} " * 50)
    model = Letters()
    with pytest.warns(RerankWarning, match="cannot be written .*full") as warned:
        found = opened_index(notes, kept, model)
    assert len([one for one in warned if one.category is RerankWarning]) == 1
    assert len(model.embedded) == len(set(model.embedded)) == 54
    monkeypatch.undo()
    fresh = opened_index(notes, None)
    assert [hits(found, q) for q in QUERIES] == [hits(fresh, q) for q in QUERIES] != expected


def test_a_store_that_may_only_be_read_is_read(notes, kept, monkeypatch):
    settled(monkeypatch)
    opened_index(notes, kept)
    connected = database._connected
    monkeypatch.setattr(
        database,
        "_connected",
        lambda path: (
            connected(path)
            if path is None
            else sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        ),
    )
    model = Letters()
    opened_index(notes, kept, model)
    assert model.embedded == []
    write(notes / "new.md", "Something new.")
    with pytest.warns(RerankWarning, match="cannot be written"):
        found = opened_index(notes, kept, model)
    assert model.embedded == ["Something new."]
    assert found.documents == load_documents(notes)


WORKER = textwrap.dedent(
    """
    import sys, time
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from langchain_rerank.first_stage import IndexRetriever
    from langchain_rerank.first_stage.kept import refresh

    refresh.BLOCK = 4

    class Slow(Embeddings):
        def embed_documents(self, texts):
            time.sleep(float(sys.argv[3]))
            for text in texts:
                print(text, flush=True)
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text):
            return [float(len(text)), 1.0, float(text.count("a"))]

    IndexRetriever.from_files(
        sys.argv[1], embeddings=Slow(), embedding_key="slow", store=sys.argv[2]
    )
    """
)


def start(notes, kept, pause):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(notes), str(kept), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_embed_each_text_once(notes, kept):
    both = [start(notes, kept, 0.05) for _ in range(2)]
    texts = [line for one in both for line in one.communicate(timeout=60)[0].splitlines()]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(texts) == sorted({d.page_content for d in load_documents(notes)})


@pytest.mark.slow
def test_a_kill_loses_one_block_at_most(notes, kept):
    for number in range(30):
        write(notes / f"more{number}.md", f"Another note, number {number}.")
    lines = []
    for blocks in (1, 3, 6):
        process = start(notes, kept, 0.05)
        for seen, line in enumerate(process.stdout, 1):
            lines.append(line.strip())
            if seen == 4 * blocks:
                break
        process.send_signal(signal.SIGKILL)
        lines += [line.strip() for line in process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
    last = start(notes, kept, 0)
    lines += last.communicate(timeout=60)[0].splitlines()
    assert last.returncode == 0
    assert set(lines) == {d.page_content for d in load_documents(notes)}
    assert len(lines) - len(set(lines)) <= 3 * 4


def test_a_file_that_another_process_reads_again_meanwhile_keeps_its_passages(
    notes, kept, monkeypatch
):
    settled(monkeypatch)
    opened_index(notes, kept)
    expected = load_documents(notes)
    files = store.Store.files
    others = []

    def files_and_then_another_process(self, *arguments):
        found = files(self, *arguments)
        if not others:
            write(notes / "11.md", "Note 11 has changed.")
            others.append(threading.Thread(target=opened_index, args=(notes, kept)))
            others[0].start()
            others[0].join(0.5)
        return found

    monkeypatch.setattr(store.Store, "files", files_and_then_another_process)
    found = opened_index(notes, kept)
    others[0].join()
    # As it was before or after, whichever came first, and never without the note.
    assert len(found.documents) == len(expected)
    assert opened_index(notes, kept).documents == load_documents(notes)


@pytest.mark.filterwarnings("ignore:The kept index is of no use now")
def test_a_store_that_is_cleared_and_filled_meanwhile_gives_no_text_the_vector_of_another(
    notes, kept, tmp_path
):
    for number in range(20):
        write(tmp_path / "other" / f"{number}.md", "Zebras " * (number + 1))

    class Disturbed(Letters):
        def embed_documents(self, texts):
            found = super().embed_documents(texts)
            if len(self.embedded) == len(texts):
                with opened(kept) as open_store:
                    upkeep.clear(open_store)
                IndexRetriever.from_files(tmp_path / "other", kind="bm25", store=kept)
            return found

    for folder, model in ((notes, Disturbed()), (tmp_path / "other", Letters())):
        found, fresh = opened_index(folder, kept, model), opened_index(folder, None)
        for query in (*QUERIES, "zebras"):
            assert hits(found, query) == hits(fresh, query)


def test_a_process_that_waits_for_another_says_so(notes, kept):
    slow = start(notes, kept, 0.4)
    assert slow.stdout.readline()
    said = []
    opened_index(
        notes, kept, embedding_key="slow", progress=lambda what, done, total: said.append(what)
    )
    slow.communicate(timeout=60)
    assert "Waiting for another process that embeds" in said


def test_progress_counts_what_is_to_do(notes, kept, monkeypatch):
    monkeypatch.setattr(refresh, "BLOCK", 5)
    said = []
    opened_index(notes, kept, progress=lambda *one: said.append(one))
    assert [one for one in said if one[0] == "Embedding"] == [
        ("Embedding", 5, 14),
        ("Embedding", 10, 14),
        ("Embedding", 14, 14),
    ]
    assert ("Reading files", 14, 14) in said


def test_the_store_is_shown_pruned_and_cleared(notes, kept, monkeypatch):
    settled(monkeypatch)
    opened_index(notes, kept)
    today = time.time()
    with opened(kept) as one:
        assert upkeep.roots(one) == [(str(notes.resolve()), 14, 14, int(today) // store.DAY)]
        assert upkeep.models(one) == [("letters", 14)]
        assert upkeep.prune(one, days=30) == 0
    monkeypatch.setattr(time, "time", lambda: today + 40 * store.DAY)
    (notes / "03.md").unlink()
    model = Letters()
    opened_index(notes, kept, model)
    assert model.embedded == []
    with opened(kept) as one:
        assert upkeep.prune(one, days=30) == 1  # the text of the deleted file
        before = upkeep.size_of(one)
        assert upkeep.prune(one, size=before // 2) > 0
        assert upkeep.size_of(one) <= before
    assert opened_index(notes, kept).documents == load_documents(notes)
    with opened(kept) as one:
        upkeep.clear(one)
        assert upkeep.roots(one) == upkeep.models(one) == []


def test_clearing_leaves_no_byte_of_a_text_though_the_file_cannot_shrink(notes, kept):
    write(notes / "long.md", "A private note on owls. " * 400)
    opened_index(notes, kept)
    assert b"private note" in kept.read_bytes()

    class Full(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *values)

    with opened(kept) as one:
        one.db.close()
        one.db = sqlite3.connect(kept, isolation_level=None, factory=Full)
        one.db.execute("PRAGMA secure_delete = OFF")  # some builds have it on
        with pytest.raises(sqlite3.OperationalError, match="full"):
            upkeep.clear(one)
    assert b"private note" not in kept.read_bytes()


def test_what_was_not_used_for_half_a_year_goes_by_itself(notes, kept, monkeypatch):
    settled(monkeypatch)
    opened_index(notes, kept)
    (notes / "03.md").unlink()
    today = time.time()
    monkeypatch.setattr(time, "time", lambda: today + 200 * store.DAY)
    opened_index(notes, kept)
    with opened(kept) as one:
        assert one.db.execute("SELECT count(*) FROM text").fetchone() == (13,)
        assert one.db.execute("SELECT count(*) FROM vector").fetchone() == (13,)
    assert opened_index(notes, kept).documents == load_documents(notes)


def test_files_that_cannot_be_read_are_told_about_each_time_and_hide_nothing(notes, kept):
    (notes / "broken.txt").write_bytes(b"caf\xe9")
    for _ in range(2):
        with pytest.warns(RerankWarning, match=r"broken.txt: It is not UTF-8"):
            assert len(opened_index(notes, kept).documents) == 14
    with pytest.raises(DataFileError, match="no such file"):
        opened_index(notes / "missing", kept)


def test_a_failed_refresh_leaves_what_was_there(notes, kept):
    retriever = opened_index(notes, kept)
    notes.rename(notes.with_name("elsewhere"))
    with pytest.raises(DataFileError, match="no such file"):
        retriever.refresh()
    assert len(retriever.documents) == 14
    assert retriever.invoke("cats")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sparse"}, "kind='sparse'"),
        ({"embeddings": Letters()}, "embedding_key=None: give both"),
        ({"embedding_key": "x"}, "give both, or neither"),
        ({"kind": "bm25", "k": 0}, "at least 1"),
        ({"kind": "bm25", "chunk_size": 0}, "chunk_size=0"),
        ({"kind": "bm25", "language": "klingon"}, "klingon"),
    ],
)
def test_an_impossible_setting_is_refused(notes, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        IndexRetriever.from_files(notes, store=None, **settings)


def test_documents_of_a_search_are_copies(notes, kept):
    retriever = opened_index(notes, kept)
    found = retriever.invoke("cats")[0]
    found.metadata["source"] = "changed"
    assert Document("x") not in retriever.documents
    assert all(d.metadata["source"] != "changed" for d in retriever.documents)
