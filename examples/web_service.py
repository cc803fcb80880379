"""A search service on FastAPI: warm before the first user, limits, health, Prometheus metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.errors import InputError, ScorerError

AT_ONCE, SECONDS = 64, 10.0
scorer = CrossEncoderScorer("embedded")  # cheap: nothing is loaded yet
retriever = CrossEncoderRerankRetriever(
    base_retriever=BM25Retriever.from_documents(documents()),
    model=scorer,
    first_stage_k=20,
    timeout=SECONDS,
)
room = asyncio.Semaphore(AT_ONCE)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await retriever.awarm_up()  # before the first user waits, and outside the time limit
    yield
    scorer.close()


app = FastAPI(lifespan=lifespan)


@app.get("/search")
async def search(q: Annotated[str, Query(min_length=1, max_length=500)]) -> dict[str, Any]:
    if room.locked():
        raise HTTPException(429, "Too many searches at once.", headers={"Retry-After": "1"})
    async with room:
        return (await retriever.asearch(q)).to_dict()


@app.exception_handler(InputError)
async def refused(_: Request, error: InputError) -> Response:
    return JSONResponse({"detail": str(error)}, 422)  # a query of blanks, for instance


@app.exception_handler(ScorerError)
async def not_scored(_: Request, error: ScorerError) -> Response:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})  # late, or closing


@app.get("/ready")
def ready() -> dict[str, bool]:
    if not scorer.loaded:
        raise HTTPException(503, "The model is not loaded.")
    return {"ready": True}


@app.get("/metrics")
def metrics() -> Response:
    counted = asdict(scorer.metrics())  # texts, tokens, batches, seconds, queue, truncated …
    page = "".join(f"langchain_rerank_{name} {value}\n" for name, value in counted.items())
    return Response(page, media_type="text/plain; version=0.0.4")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
