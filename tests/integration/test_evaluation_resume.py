"""A run that is killed goes on where it was, and reports what an undisturbed run reports."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.chain import EvaluationChain
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.ragas import RagasEvaluation
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer

ROOT = Path(__file__).parents[2]

SCRIPT = textwrap.dedent(
    """
    import sys, time
    from langchain_core.documents import Document
    from langchain_rerank.evaluation.compare import compare_rerank
    from langchain_rerank.testing import WordOverlapScorer

    journal, scored, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
    documents = [
        Document(f"text {n} about {n % 3}", id=str(n), metadata={"source": f"s{n}"})
        for n in range(12)
    ]

    class Slow(WordOverlapScorer):
        def score(self, query, texts):
            time.sleep(pause)
            with open(scored, "a") as file:
                file.write(query + "\\n")
            return super().score(query, texts)

    report = compare_rerank(
        lambda question: documents,
        Slow(),
        [{"question": f"text {n} about", "qrels": {str(n): 1}} for n in range(12)],
        journal=journal,
        resume=True,
        progress=False,
    )
    print(report.to_json())
    """
)


def start(journal, scored, pause):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(journal), str(scored), str(pause)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )


def figures(text):
    """The report without what no two runs share: times of day and latencies."""
    report = json.loads(text)
    del report["environment"]
    for system in report["systems"].values():
        system.pop("latency")
    report["decision"].pop("added_ms")
    for one in report["comparisons"]:
        one.pop("added_ms"), one.pop("latency_factor")
    for row in report["queries"]:
        for system in row["systems"].values():
            system.pop("latency_ms")
    return report


def test_a_killed_run_resumes_to_the_same_report_and_scores_nothing_twice(tmp_path):
    undisturbed, _ = start(tmp_path / "a.jsonl", tmp_path / "a.txt", 0).communicate()
    journal, scored = tmp_path / "b.jsonl", tmp_path / "b.txt"
    killed = start(journal, scored, 0.2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_text().count('"system": "reranked"') >= 4:
            break
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert killed.returncode == -signal.SIGKILL
    finished = {
        json.loads(line)["query"]
        for line in journal.read_text().splitlines()
        if '"system": "reranked"' in line and line.endswith("}")
    }
    assert 4 <= len(finished) < 12
    scored.write_text("")
    resumed, _ = start(journal, scored, 0).communicate()
    assert figures(resumed) == figures(undisturbed)
    again = scored.read_text().splitlines()
    assert len(again) == 12 - len(finished) + 1  # and the warm-up, of the first unfinished one
    assert not {f"text {int(query) - 1} about" for query in finished} & set(again)
    latency = json.loads(resumed)["systems"]["reranked"]["latency"]["rerank"]
    assert latency["n"] == 12  # a replayed row brings the time that was recorded


DOCUMENTS = [Document(f"word{n}", id=str(n)) for n in range(4)]
RECORDS = [{"id": f"q{n}", "question": f"word{n}", "qrels": {str(n): 1}} for n in range(4)]


def run(journal, scorer, *, resume=True, **settings):
    return compare_rerank(
        lambda question: DOCUMENTS,
        scorer,
        RECORDS,
        journal=journal,
        resume=resume,
        progress=False,
        **settings,
    )


def test_failed_rows_are_tried_again(tmp_path):
    class Flaky(WordOverlapScorer):
        broken = True

        def score(self, query, texts):
            if self.broken and query == "word2":
                raise ConnectionError("away")
            return super().score(query, texts)

    scorer = Flaky()
    assert run(tmp_path / "j", scorer).counts["failed"] == 1
    scorer.broken = False
    counting = CountingScorer(scorer)
    report = run(tmp_path / "j", counting)
    assert report.counts["failed"] == 0
    assert {requests[0][0] for requests in counting.asked} == {"word2"}


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path):
    path = tmp_path / "j"
    whole = run(path, WordOverlapScorer())
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:20])
    counting = CountingScorer(WordOverlapScorer())
    report = run(path, counting)
    assert report.systems["reranked"].measures == whole.systems["reranked"].measures
    assert {requests[0][0] for requests in counting.asked} == {"word3"}
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("torn", ["", '{"finger'])
def test_a_journal_without_a_whole_head_starts_anew(tmp_path, torn):
    (tmp_path / "j").write_text(torn)
    assert run(tmp_path / "j", WordOverlapScorer()).counts["ok"] == 4


def test_a_broken_line_in_the_middle_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "j"
    run(path, WordOverlapScorer())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "nonsense", *lines[1:], ""]))
    with pytest.raises(DataFileError, match="no line of a journal") as caught:
        run(path, WordOverlapScorer())
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"first_stage_k": 3}, r"first_stage_k differ \(first_stage_k was \d+, is 3\)"),
        (
            {"settings": {"embedding": "other"}},
            r"settings differ \(settings.embedding was None, is other\)",
        ),
        ({"metadata_fields": ["title"]}, r"metadata_fields differ \(metadata_fields was \[\]"),
        ({"relevance": Relevance(id_key="pk")}, r"id_key differ \(id_key was None, is pk\)"),
    ],
)
def test_a_journal_of_another_run_is_refused(tmp_path, settings, what):
    run(tmp_path / "j", WordOverlapScorer())
    with pytest.raises(ConfigurationError, match=f"cannot be resumed: {what}"):
        run(tmp_path / "j", WordOverlapScorer(), **settings)


def test_measures_and_cutoffs_may_change_without_scoring_again(tmp_path):
    run(tmp_path / "j", WordOverlapScorer())
    counting = CountingScorer(WordOverlapScorer())
    report = run(tmp_path / "j", counting, measures="P@1", top_n=1)
    assert report.systems["reranked"].measures["P@1"].mean == 1.0
    assert counting.texts == []


def test_labels_may_change_without_scoring_again(tmp_path):
    run(tmp_path / "j", WordOverlapScorer())
    counting = CountingScorer(WordOverlapScorer())
    run(tmp_path / "j", counting, relevance=Relevance(lambda record, document: 1))
    assert counting.texts == []


def test_without_resume_a_journal_is_written_anew(tmp_path):
    run(tmp_path / "j", WordOverlapScorer())
    size = (tmp_path / "j").stat().st_size
    counting = CountingScorer(WordOverlapScorer())
    run(tmp_path / "j", counting, resume=False)
    assert len(counting.texts) == 4 + 16
    assert abs((tmp_path / "j").stat().st_size - size) < 200  # times have other digits


def test_a_forgotten_resume_loses_no_finished_row(tmp_path):
    run(tmp_path / "j", WordOverlapScorer())
    finished = (tmp_path / "j").read_bytes()
    run(tmp_path / "j", WordOverlapScorer(), resume=False)
    (tmp_path / "j.old").replace(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == finished
    counting = CountingScorer(WordOverlapScorer())
    run(tmp_path / "j", counting)
    assert counting.texts == []


def test_a_run_that_finished_nothing_replaces_no_kept_journal(tmp_path):
    run(tmp_path / "j", WordOverlapScorer())
    finished = (tmp_path / "j").read_bytes()
    for _ in range(3):
        Journal(tmp_path / "j", {"run": "stopped at once"}).close()
    assert (tmp_path / "j.old").read_bytes() == finished


def test_a_document_stands_in_the_journal_once_and_comes_back_whole(tmp_path):
    document = Document("text", id="d", metadata={"page": 3, "tags": ["x"]})
    with Journal(tmp_path / "deep" / "j", {"a": 1}) as journal:
        for query in ("1", "2"):
            journal.put("s", query, {"keys": ["d"]}, {"d": document})
        journal.put("s", "3", {"error": "away"}, {})
    text = (tmp_path / "deep" / "j").read_text()
    assert text.count('"document"') == 1
    with Journal(tmp_path / "deep" / "j", {"a": 1}, resume=True) as back:
        pass
    assert back.documents == {"d": document}
    assert back.get("s", "2") == {"keys": ["d"]}
    assert back.get("s", "3") is None


KILLED = textwrap.dedent(
    """
    import random, sys, time
    from langchain_core.documents import Document
    from langchain_rerank.evaluation import sweep_k
    from langchain_rerank.evaluation.run import stage
    from langchain_rerank.testing import WordOverlapScorer

    journal, pause = sys.argv[1], float(sys.argv[2])
    now = 0.0
    stage.perf_counter = lambda: now  # goes as far as is said here, and in exact steps
    documents = [Document(f"text {n} about {n % 3}", id=str(n)) for n in range(12)]

    def goes(parts):
        global now
        now += parts / 1024
        time.sleep(pause)

    class Timed(WordOverlapScorer):
        def score(self, query, texts):
            goes(3 * len(query) + len(texts))
            return super().score(query, texts)

    def retrieve(question):
        goes(len(question))
        return documents

    report = sweep_k(
        retrieve,
        Timed(),
        [{"question": f"text {n} about", "qrels": {str(n): 1}} for n in range(12)],
        [4, 8],
        measures="nDCG@4",
        latency_queries=4,
        journal=journal,
        resume=True,
        progress=False,
    )
    print(report.to_json())
    """
)


def killable(journal, pause):
    command = [sys.executable, "-c", KILLED, str(journal), str(pause)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    )


def without_times_of_day(text):
    data = json.loads(text)
    del data["environment"]
    return data


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_process_killed_at_twenty_random_moments_resumes_with_its_latency(tmp_path):
    undisturbed, _ = killable(tmp_path / "whole.jsonl", 0).communicate()
    whole = (tmp_path / "whole.jsonl").stat().st_size
    chance = random.Random(14)
    for number in range(20):
        journal, size = tmp_path / f"{number}.jsonl", chance.uniform(0.05, 0.95) * whole
        killed = killable(journal, 0.1)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and killed.poll() is None:
            if journal.exists() and journal.stat().st_size >= size:
                break
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        resumed, _ = killable(journal, 0).communicate()
        assert without_times_of_day(resumed) == without_times_of_day(undisturbed)


@pytest.mark.slow
def test_of_two_processes_on_one_journal_the_second_says_so(tmp_path):
    journal = tmp_path / "j.jsonl"
    first = killable(journal, 30)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.01)
    second = killable(journal, 0)
    _, said = second.communicate()
    assert second.returncode == 1
    assert f"Another run is writing to the journal {journal}" in said
    first.send_signal(signal.SIGKILL)  # and leaves the file to the next
    first.communicate()
    third, _ = killable(journal, 0).communicate()
    assert json.loads(third)["counts"]["ok"] == 12


class RoundedOnLoad(WordOverlapScorer):
    """Expects int8, and finds out on loading that it computes in another precision."""

    name = "rounded"

    def __init__(self):
        self.dtype = "int8"

    @property
    def identity(self):
        return {"model": self.name, "dtype": self.dtype}

    def load(self):
        self.dtype = "float32"

    def score(self, query, texts):
        self.load()
        return super().score(query, texts)


def reranking(scorer):
    return CrossEncoderRerankRetriever(
        base_retriever=RunnableLambda(lambda question: DOCUMENTS),
        model=scorer,
        first_stage_k=4,
        top_n=2,
    )


def in_chain(journal, scorer):
    chain = EvaluationChain({"one": reranking(scorer)}, journal=journal, resume=True)
    return chain.invoke(RECORDS)


def in_ragas(journal, scorer):
    evaluation = RagasEvaluation(reranking(scorer), journal=journal, resume=True)
    report = evaluation.invoke(RECORDS)
    assert "float32" in report.settings["model"]["identity"]


@pytest.mark.parametrize("evaluate", [run, in_chain, in_ragas])
@pytest.mark.parametrize("wrapped", [lambda one: one, CachedScorer])
def test_the_journal_knows_a_scorer_as_what_it_is_once_loaded(tmp_path, evaluate, wrapped):
    evaluate(tmp_path / "j", wrapped(RoundedOnLoad()))
    head = json.loads((tmp_path / "j").read_text().splitlines()[0])
    assert '"dtype": "float32"' in json.dumps(head)
    again = wrapped(RoundedOnLoad())
    again.score("loaded", ["before"])
    evaluate(tmp_path / "j", again)  # equal, loaded before or not
    stays_int8 = RoundedOnLoad()
    stays_int8.load = lambda: None
    with pytest.raises(ConfigurationError, match="dtype was float32, is int8"):
        evaluate(tmp_path / "j", wrapped(stays_int8))
