"""Documents from files: text, Markdown, HTML, PDF, DOCX, and rows of passages."""

from langchain_rerank.files.loading import ChunkSettings, load_documents
from langchain_rerank.files.walking import FOLDER_SUFFIXES

__all__ = ["FOLDER_SUFFIXES", "ChunkSettings", "load_documents"]
