"""The in-process engine behind the local cross-encoder."""
