"""An index that stays: texts, their embeddings and terms, kept in one file between runs."""
