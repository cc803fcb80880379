"""Give an agent a search tool that reranks; the documents come along as the tool's artifact."""

from guides import documents
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import create_retriever_tool

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever


class ScriptedModel(GenericFakeChatModel):
    """Stands for a chat model: calls the tool once, then answers."""

    def bind_tools(self, *_: object, **__: object) -> "ScriptedModel":
        """Return the model; its script knows the tool."""
        return self


retriever = CrossEncoderRerankRetriever(
    base_retriever=BM25Retriever.from_documents(documents()), model="embedded", top_n=2
)
tool = create_retriever_tool(
    retriever, "guides", "Searches the guides.", response_format="content_and_artifact"
)
call = ToolCall(name="guides", args={"query": "What is DoRA?"}, id="1")
model = ScriptedModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Try DoRA if…")]))
agent = create_agent(model, tools=[tool])

messages = agent.invoke({"messages": [("user", "When should I try DoRA?")]})["messages"]
for message in messages:
    print(f"{message.type:>5}: {message.text[:80]!r}")
for document in messages[2].artifact:
    print(f"{document.metadata['relevance_score']:.3f}  {document.metadata['source']}")

assert "DoRA" in messages[2].text
assert len(messages[2].artifact) == 2
