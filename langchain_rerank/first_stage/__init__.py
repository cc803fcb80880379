"""First stages: retrievers that expose their scores, and the depth of any retriever."""
