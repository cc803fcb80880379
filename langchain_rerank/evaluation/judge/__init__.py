"""A language model as judge: how it is asked, read, and remembered."""
