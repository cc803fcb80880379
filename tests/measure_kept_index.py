"""Time searches over 3,000 small files with and without what is kept of them: `make time-index`.

It says how long the first search takes, the second by the watch, the second after the models are
loaded, and one after a note was added; and whether hits are the same without an index.
"""

# ruff: noqa: T201 - it prints what it measured

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from langchain_rerank.embedded import CORPUS_FOLDER

COMMAND = [sys.executable, "-c", "from langchain_rerank.cli import main; main()"]
QUERIES = ("How does QLoRA save memory?", "What is product quantization?", "note 1234")

# In a process that has loaded its models: what is left of a search is index, query and reranking.
WARM = """
import sys, time
from langchain_rerank import CrossEncoderRerankRetriever, CrossEncoderScorer, IndexRetriever
from langchain_rerank.first_stage import default_embeddings
from langchain_rerank.first_stage.embeddings import embedding_name
from langchain_rerank.scorers.engine.model_files import fingerprint
embeddings, scorer = default_embeddings(), CrossEncoderScorer("embedded")
scorer.load()
embeddings.embed_query("warm")
scorer.score("warm", ["up"])
begin = time.perf_counter()
base = IndexRetriever.from_files(
    sys.argv[1], embeddings=embeddings, embedding_key=fingerprint(embedding_name(None))
)
opened = time.perf_counter()
CrossEncoderRerankRetriever(base_retriever=base, model=scorer, top_n=5).search(sys.argv[2])
print(opened - begin, time.perf_counter() - begin)
"""


def write_notes(folder: Path, n: int) -> None:
    """Write `n` notes, each of a paragraph of the sample guides and a number of its own."""
    guides = sorted(CORPUS_FOLDER.glob("*.md"))
    paragraphs = [
        paragraph
        for guide in guides
        for paragraph in guide.read_text(encoding="utf-8").split("\n\n")
        if 100 < len(paragraph) < 480
    ]
    for number in range(n):
        path = folder / f"{number // 100:02}" / f"note{number:04}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"# Note {number}\n\n{paragraphs[number % len(paragraphs)]}\n"
        path.write_text(text, encoding="utf-8")


def search(folder: Path, query: str, *more: str) -> tuple[float, list[str]]:
    """Return the seconds that a search takes by the watch, and the ids it finds."""
    begin = time.perf_counter()
    said = run(
        *(*COMMAND, "search", query, "--docs", folder, "--model", "embedded", "--json", "-"), *more
    )
    seconds = time.perf_counter() - begin
    return seconds, [one["id"] for one in json.loads(said)["documents"]]


def run(*command: str | Path) -> str:
    """Return what a command prints; end with what it says where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[3:]))} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    n = parser.parse_args().files
    with tempfile.TemporaryDirectory() as room:
        os.environ["LANGCHAIN_RERANK_CACHE"] = f"{room}/cache"
        folder = Path(room, "notes")
        write_notes(folder, n)
        print(f"first search over {n} files: {search(folder, QUERIES[0])[0]:.1f} s")
        time.sleep(3)  # a file counts as unchanged when it was read well after it changed
        search(folder, QUERIES[0])
        seconds = sorted(search(folder, query)[0] for query in QUERIES)
        print(f"further searches by the watch: {', '.join(f'{one:.1f}' for one in seconds)} s")
        for query in QUERIES:
            opened, all_of_it = map(float, run(sys.executable, "-c", WARM, folder, query).split())
            print(f"after the models are loaded: {all_of_it:.1f} s (index opened in {opened:.2f})")
        Path(folder, "added.md").write_text("A note that was added: zebras.\n", encoding="utf-8")
        print(f"one note added: {run(*COMMAND, 'index', folder).strip()}")
        for query in (*QUERIES, "zebras"):
            same = search(folder, query)[1] == search(folder, query, "--no-index")[1]
            print(f"the same hits without an index for {query!r}: {same}")


if __name__ == "__main__":
    main()
