"""One view of a result, shown in the terminal, as Markdown and as HTML."""
