"""The retriever and the compressor inside what LangChain users already have."""

from __future__ import annotations

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from langchain_core.tools import create_retriever_tool

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever

QUERY = "adapters of low rank over weights"


@pytest.fixture
def retriever(store, scorer):
    return CrossEncoderRerankRetriever(base_retriever=store.as_retriever(), model=scorer, top_n=2)


def test_the_compressor_works_in_a_contextual_compression_retriever(store, scorer):
    from langchain_classic.retrievers import ContextualCompressionRetriever

    compression = ContextualCompressionRetriever(
        base_compressor=CrossEncoderReranker(model=scorer, top_n=2),
        base_retriever=store.as_retriever(search_kwargs={"k": 8}),
    )
    assert [d.id for d in compression.invoke(QUERY)] == ["d4", "d2"]


async def test_the_compressor_works_in_a_document_compressor_pipeline(store, scorer):
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
    from langchain_text_splitters import CharacterTextSplitter

    pipeline = DocumentCompressorPipeline(
        transformers=[
            CharacterTextSplitter(chunk_size=200, chunk_overlap=0),
            CrossEncoderReranker(model=scorer, top_n=2),
        ]
    )
    compression = ContextualCompressionRetriever(
        base_compressor=pipeline, base_retriever=store.as_retriever(search_kwargs={"k": 8})
    )
    found = await compression.ainvoke(QUERY)
    assert [d.metadata["source"] for d in found] == ["4.md", "2.md"]
    assert compression.invoke(QUERY) == found


def answering(text):
    return GenericFakeChatModel(messages=iter([AIMessage(text)]))


def test_the_retriever_feeds_an_lcel_rag_chain(retriever):
    seen = []

    def format_documents(documents):
        seen.extend(documents)
        return "\n".join(d.page_content for d in documents)

    chain = (
        RunnableParallel(context=retriever | format_documents, question=RunnablePassthrough())
        | ChatPromptTemplate.from_template("{context}\n\n{question}")
        | answering("Adapters.")
        | StrOutputParser()
    )
    assert chain.invoke(QUERY) == "Adapters."
    assert [d.id for d in seen] == ["d4", "d2"]


def test_the_retriever_streams_in_a_chain(retriever):
    chain = (
        {"context": retriever, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}\n\n{question}")
        | answering("Two small matrices.")
        | StrOutputParser()
    )
    assert "".join(chain.stream(QUERY)) == "Two small matrices."


async def test_the_retriever_is_a_tool(retriever):
    tool = create_retriever_tool(retriever, "guides", "Searches the guides.")
    text = await tool.ainvoke({"query": QUERY})
    assert text == tool.invoke({"query": QUERY})
    assert text.startswith("QLoRA trains adapters")


class ToolCallingModel(GenericFakeChatModel):
    """A scripted chat model that an agent can bind tools to."""

    def bind_tools(self, tools, **kwargs):
        return self


def test_an_agent_searches_with_the_retriever(retriever):
    from langchain.agents import create_agent

    tool = create_retriever_tool(retriever, "guides", "Searches the guides.")
    call = ToolCall(name="guides", args={"query": QUERY}, id="call-1")
    model = ToolCallingModel(
        messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Two small matrices.")])
    )
    agent = create_agent(model, tools=[tool])
    messages = agent.invoke({"messages": [("user", "What does QLoRA train?")]})["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content.startswith("QLoRA trains adapters")
    assert messages[-1].content == "Two small matrices."


async def test_both_stages_show_in_the_event_stream(retriever):
    names = [event["name"] async for event in retriever.astream_events(QUERY, version="v2")]
    assert "rerank" in names
    assert "VectorStoreRetriever" in names
