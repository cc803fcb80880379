"""The command line as `python -m langchain_rerank`, where scripts are not on the path."""

from langchain_rerank.cli import main

if __name__ == "__main__":
    main()
