"""Figures as a reader wants them: few digits, a sign where the sign is the point, units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from langchain_rerank.evaluation.score.results import FIRST_STAGE, RERANKED

NOTHING = "-"
# File systems allow 255 bytes, a letter takes up to four, and an ending follows.
_LONGEST_NAME = 50
_DEVICES = {"CON", "PRN", "AUX", "NUL"}
_DEVICES |= {f"{port}{n}" for port in ("COM", "LPT") for n in range(10)}
_LABELS = {FIRST_STAGE: "First stage", RERANKED: "Reranked"}


def system_label(name: str) -> str:
    """Return how a system is called in a table.

    Examples:
        >>> system_label("first_stage"), system_label("hybrid")
        ('First stage', 'hybrid')
    """
    return _LABELS.get(name, name)


def short_names(systems: Iterable[str], longest: int | None = None) -> dict[str, str]:
    """Return a short name for each system: the last part of a path, where no other has it.

    Args:
        systems: The names.
        longest: A name with more characters loses those in its middle, unless two would then be
            called the same.

    Examples:
        >>> short_names(["first_stage", "BAAI/bge-m3", "a/x", "b/x"])
        {'first_stage': 'First stage', 'BAAI/bge-m3': 'bge-m3', 'a/x': 'a/x', 'b/x': 'b/x'}
        >>> short_names(["team/reranker-of-the-year-large-v2"], longest=20)
        {'team/reranker-of-the-year-large-v2': 'reranker-o…-large-v2'}
    """
    last = {one: one.rstrip("/").rpartition("/")[2] or one for one in systems}
    names = _where_unique(last, {one: one for one in last})
    if longest is not None:
        names = _where_unique({one: _without_middle(names[one], longest) for one in names}, names)
    return {one: system_label(name) for one, name in names.items()}


def in_sentence(names: Mapping[str, str]) -> dict[str, str]:
    """Return names for the middle of a sentence: a model keeps its capitals.

    Examples:
        >>> in_sentence({"first_stage": "First stage", "BAAI/bge": "BAAI/bge"})
        {'first_stage': 'first stage', 'BAAI/bge': 'BAAI/bge'}
    """
    return {one: name.lower() if one in _LABELS else name for one, name in names.items()}


def _where_unique(short: Mapping[str, str], long: Mapping[str, str]) -> dict[str, str]:
    used = Counter(short.values())
    return {one: name if used[name] == 1 else long[one] for one, name in short.items()}


def _without_middle(name: str, longest: int) -> str:
    kept = longest - 1
    return name if len(name) <= longest else f"{name[: kept - kept // 2]}…{name[-(kept // 2) :]}"


def file_names(systems: Iterable[str]) -> dict[str, str]:
    """Return a file name for each system: its own name where every file system can have it.

    Long names are cut, names that Windows keeps for devices get an underscore in front.

    Examples:
        >>> file_names(["first_stage", "BAAI/bge", "BAAI:bge"])
        {'first_stage': 'first_stage', 'BAAI/bge': 'BAAI_bge', 'BAAI:bge': 'BAAI_bge_2'}
    """
    found: dict[str, str] = {}
    for name in systems:
        plain = "".join(one if one.isalnum() or one in "-._" else "_" for one in name)
        plain = plain[:_LONGEST_NAME].strip(".") or "system"
        if plain.partition(".")[0].upper() in _DEVICES:
            plain = f"_{plain}"
        unique, number = plain, 1
        while unique.lower() in {one.lower() for one in found.values()}:
            number += 1
            unique = f"{plain}_{number}"
        found[name] = unique
    return found


def fraction(value: float | None) -> str:
    """Return a measure with three digits, or a dash where there is none.

    Examples:
        >>> fraction(0.67649), fraction(None)
        ('0.676', '-')
    """
    return NOTHING if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign; one that rounds to zero has none.

    Examples:
        >>> signed(0.0412), signed(-0.2), signed(-0.0001)
        ('+0.041', '-0.200', '0.000')
    """
    text = f"{value:+.3f}"
    return text if float(text) else text[1:]


def between(ends: tuple[float, float], write: Callable[[float], str] = fraction) -> str:
    """Return an interval.

    Examples:
        >>> between((0.6, 0.75))
        '[0.600, 0.750]'
    """
    return f"[{write(ends[0])}, {write(ends[1])}]"


def with_interval(
    value: float | None,
    ci: tuple[float, float] | None,
    separator: str = " ",
    write: Callable[[float], str] = fraction,
) -> str:
    """Return a value and its interval, as far as there are such.

    Examples:
        >>> with_interval(0.67, (0.6, 0.75)), with_interval(0.67, None), with_interval(None, None)
        ('0.670 [0.600, 0.750]', '0.670', '-')
    """
    if value is None:
        return NOTHING
    return write(value) if ci is None else f"{write(value)}{separator}{between(ci, write)}"


def interval_of(ci: tuple[float, float] | None) -> str:
    """Return the interval of a difference as a sentence goes on with it.

    Examples:
        >>> interval_of((-0.1, 0.2)), interval_of(None)
        (', 95 % interval [-0.100, +0.200]', '')
    """
    return "" if ci is None else f", 95 % interval {between(ci, signed)}"


def percent(value: float | None) -> str:
    """Return a change in percent, or a dash where there is none.

    Examples:
        >>> percent(6.23), percent(-0.5), percent(None)
        ('+6.2 %', '-0.5 %', '-')
    """
    if value is None:
        return NOTHING
    text = f"{value:+.1f} %"
    return text if float(text[:-2]) else text[1:]


def p_value(value: float | None) -> str:
    """Return a p value, or a dash where there is none.

    Examples:
        >>> p_value(0.00002), p_value(0.0444), p_value(None)
        ('< 0.001', '0.044', '-')
    """
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_is(value: float, name: str = "p") -> str:
    """Return a p value as a sentence has it.

    Examples:
        >>> p_is(0.00002), p_is(0.0444, "p (Holm)")
        ('p < 0.001', 'p (Holm) = 0.044')
    """
    return f"{name} {p_value(value)}" if value < 0.001 else f"{name} = {p_value(value)}"


def milliseconds(value: float | None) -> str:
    """Return a time with about three digits and its unit, or a dash where there is none.

    Examples:
        >>> milliseconds(0.4444), milliseconds(31.26), milliseconds(312.4), milliseconds(12345.0)
        ('0.44 ms', '31.3 ms', '312 ms', '12.3 s')
    """
    if value is None:
        return NOTHING
    if value >= 9_999.5:
        return f"{value / 1000:.1f} s"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} ms"


def times(value: float) -> str:
    """Return a factor.

    Examples:
        >>> times(1.254), times(3067.2)
        ('1.25 times', '3,067 times')
    """
    return f"{value:,.0f} times" if value >= 100 else f"{value:.3g} times"


def yes_no(value: bool | None) -> str:
    """Return "yes", "no", or a dash for what nobody asked.

    Examples:
        >>> yes_no(True), yes_no(None)
        ('yes', '-')
    """
    return NOTHING if value is None else "yes" if value else "no"
