"""A rerank server on Ray Serve: one engine per replica, the forms that clients speak, limits."""
