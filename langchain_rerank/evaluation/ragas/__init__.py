"""The hand-off to RAGAS: the contexts that were scored, as rows, and judged by its metrics."""

from langchain_rerank.evaluation.data.ragas_rows import RagasRow, read_rows, write_jsonl
from langchain_rerank.evaluation.judge.judge import Judge
from langchain_rerank.evaluation.ragas.adapters import ragas_embeddings, ragas_llm
from langchain_rerank.evaluation.ragas.estimate import Estimate
from langchain_rerank.evaluation.ragas.evaluation import RagasEvaluation
from langchain_rerank.evaluation.ragas.importing import import_ragas
from langchain_rerank.evaluation.ragas.metrics import METRICS, WITHOUT_JUDGE, Cell
from langchain_rerank.evaluation.ragas.report import RagasReport
from langchain_rerank.evaluation.ragas.rows import ragas_step, to_evaluation_dataset, to_samples
from langchain_rerank.evaluation.report.handoff import to_ragas
from langchain_rerank.evaluation.run.systems import ChainKeys

__all__ = [
    "METRICS",
    "WITHOUT_JUDGE",
    "Cell",
    "ChainKeys",
    "Estimate",
    "Judge",
    "RagasEvaluation",
    "RagasReport",
    "RagasRow",
    "import_ragas",
    "ragas_embeddings",
    "ragas_llm",
    "ragas_step",
    "read_rows",
    "to_evaluation_dataset",
    "to_ragas",
    "to_samples",
    "write_jsonl",
]
