"""What several integration tests use."""

from __future__ import annotations

import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Starts a test without what others kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
