"""No reader raises anything but this package's errors, whatever is in the file.

Files of every shape (`tests/data/shapes`) are damaged at random and read. `make fuzz` does so
100,000 times; the default tests do it a little.
"""

import logging
import os
import random
import shutil
import warnings
from pathlib import Path

import pytest

from langchain_rerank.errors import RerankError, RerankWarning
from langchain_rerank.evaluation import Report
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.data.trec import read_qrels, read_run
from langchain_rerank.evaluation.score.measures import parse_measure
from langchain_rerank.passages import read_passages

LOG = logging.getLogger(__name__)
SHAPES = Path(__file__).parents[1] / "data" / "shapes"
MUTATIONS = int(os.environ.get("READER_MUTATIONS", "1500"))
SEED = int(os.environ.get("READER_SEED", "0"))

# What readers have stumbled over: quotes, brackets, halves of characters, numbers too long.
PIECES = [
    *(b'"', b"'", b"[", b"]", b"{", b"}", b"[[[[", b'{"', b'": ', b",", b";", b"\t", b"|", b":"),
    *(b"\n", b"\r", b"\r\n\n", b"\0", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b"),
    *(b"\\ud800", b"\\u0000", b"\\", b"\xed\xa0\x80", b"\xc3", "\u2028".encode(), b"NaN", b"1e999"),
    *(b"-0", b"1.0", b"9" * 5000, b"null", b"true", b"[]", b"{}", b'""', b"sep=;\n", b"#", b" "),
    *(b"question", b"qrels", b"_id", b"data", b"paragraphs", b"[" * 3000, b"('a',)", b"__import__"),
]


def mutated(content, pick):
    """Return a file's content with one to four mistakes in it."""
    data = bytearray(content)
    for _ in range(pick.randint(1, 4)):
        at = pick.randint(0, len(data))
        to = min(len(data), at + pick.choice([1, 2, 8, 40]))
        kind = pick.randrange(5)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] = pick.randrange(256)
        elif kind == 1:
            del data[at:to]
        elif kind == 2:
            data[at:at] = pick.choice(PIECES)
        elif kind == 3:
            data[at:to] = pick.choice(PIECES)
        else:
            data[at:at] = data[at:to] * pick.choice([1, 1, 30])
    return bytes(data[: pick.randint(0, len(data))] if pick.random() < 0.05 else data)


def questions(path):
    data = load_dataset(path)
    for record in data.records:
        Relevance().judge(record, {})


def passages(path):
    read_passages(path, path.name)


READERS = [
    (questions, "*.csv", "*.tsv", "*.json*", "*.parquet", "refused/*.csv", "refused/*.jsonl"),
    (
        passages,
        "passages.jsonl",
        "squad.json",
        "beir/corpus.jsonl",
        "*.parquet",
        "array.json",
        "llama*",
    ),
    (read_qrels, "trec/qrels*.txt", "beir/qrels/*.tsv", "mteb/qrels/*.jsonl"),
    (read_run, "trec/run*"),
    (Report.load, "array.json"),
]
FOLDERS = [
    (load_collection, "beir"),
    (load_collection, "mteb"),
    (load_dataset, "saved"),
    (load_collection, "mteb_parquet"),
    (load_dataset, "saved_splits"),
]


def targets(folder):
    """Return what is read, the file in it that is damaged, and its content."""
    found = []
    for reader, *patterns in READERS:
        files = dict.fromkeys(one for pattern in patterns for one in sorted(folder.glob(pattern)))
        found += [(reader, one, one) for one in files if one.is_file()]
    for reader, name in FOLDERS:
        inside = [one for one in sorted((folder / name).rglob("*")) if one.is_file()]
        found += [(reader, folder / name, one) for one in inside]
    return [(reader, path, file, file.read_bytes()) for reader, path, file in found]


@pytest.mark.timeout(3600)
def test_no_reader_raises_another_error_than_ours(tmp_path):
    shutil.copytree(SHAPES, tmp_path / "shapes")
    pick = random.Random(SEED)
    cases = targets(tmp_path / "shapes")
    assert len(cases) > 40
    read = refused = 0
    for number in range(MUTATIONS):
        reader, path, file, content = cases[number % len(cases)]
        damaged = mutated(content, pick)
        file.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RerankWarning)
                reader(path)
            read += 1
        except RerankError:
            refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            pytest.fail(f"mutation {number} of {file.name}: {error!r} from {damaged[:300]!r}")
        finally:
            file.write_bytes(content)
    LOG.info(
        "%d mutations of %d pairs of reader and file: %d read, %d refused",
        MUTATIONS,
        len(cases),
        read,
        refused,
    )
    assert read + refused == MUTATIONS
    assert refused > MUTATIONS // 10


def test_no_spelling_of_a_measure_raises_another_error_than_ours():
    pick = random.Random(SEED)
    names = [b"nDCG@10", b"P(rel=2)@5", b"nDCG(gains={0:1,1:4})@10", b"recall_at_100", b"map"]
    refused = 0
    for _ in range(max(300, MUTATIONS // 50)):
        text = mutated(pick.choice(names), pick)[:200].decode("utf-8", "replace")
        try:
            parse_measure(text)
        except RerankError:
            refused += 1
    assert refused > 50
