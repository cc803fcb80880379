"""Rerank with a server: a stand-in for text-embeddings-inference, asked over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.scorers.remote import RemoteScorer

QUESTION = "Why can LLMs not count the letters in a word reliably?"
model = CrossEncoderScorer("embedded", dtype="float32")


class Handler(BaseHTTPRequestHandler):
    """Answers what a RemoteScorer asks."""

    def do_POST(self) -> None:  # noqa: D102 - the name is http.server's
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        scores = model.score(body["query"], body["texts"])
        answer = json.dumps([{"index": i, "score": s} for i, s in enumerate(scores)]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = BM25Retriever.from_documents(documents())
with RemoteScorer(f"http://127.0.0.1:{server.server_port}", dialect="tei") as remote:
    retriever = CrossEncoderRerankRetriever(base_retriever=base, model=remote, top_n=3)
    result = retriever.search(QUESTION)
local = retriever.model_copy(update={"model": model}).search(QUESTION)
server.shutdown()
server.server_close()
print(result.summary())
assert [one.id for one in result.documents] == [one.id for one in local.documents]
