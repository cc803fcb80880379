"""The pairs on which everything clever is compared with the model itself."""

from __future__ import annotations

PROBES: tuple[tuple[str, list[str]], ...] = (
    (
        "How many people live in Berlin?",
        ["Berlin had a population of 3,520,031.", "Paris (France)...", "", "Well-known: 42 %"],
    ),
    (
        "  vitamin C:",
        [" starts and ends with a space ", "\n\nnew lines\n", "Zürich, 北京, 🙂", "?"],
    ),
)
