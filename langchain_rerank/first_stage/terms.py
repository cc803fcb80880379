"""From text to the terms that BM25 counts, in any script."""

from __future__ import annotations

import difflib
import itertools
import re
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from langchain_rerank.checks import shown
from langchain_rerank.errors import ConfigurationError, InputTypeError, RerankWarning, see
from langchain_rerank.first_stage.accents import unaccented
from langchain_rerank.optional import require, versions

TextToTerms: TypeAlias = Callable[[str], list[str]]
"""How a text becomes terms."""

VERSION = 3
"""Counted up when the same text gives other terms: what was kept of earlier ones is made again."""

ENGLISH = "english"

# The English stop words of Lucene (org.apache.lucene.analysis.en.EnglishAnalyzer).
STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the "  # noqa: SIM905 - reads like the list it is
    "their then there these they this to was will with".split()
)

# ISO 639-1 and Snowball's names of the languages that it has a stemmer for.
STEMMED = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": ENGLISH,
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
# Languages whose words do not change, or whose script alone says how they are cut.
UNSTEMMED = {
    "ja": "japanese",
    "km": "khmer",
    "ko": "korean",
    "lo": "lao",
    "my": "burmese",
    "th": "thai",
    "zh": "chinese",
}

# An English genitive: not a term of its own.
_POSSESSIVE = re.compile(r"(?<=\w)['\N{RIGHT SINGLE QUOTATION MARK}][sS]\b")

# Scripts that write no spaces between words, or (Hangul) glue endings to them.
_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}\p{Bopomofo}"
    r"\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
# Vowel points, which most texts in these scripts leave out, and the stroke that lengthens a word.
_POINTS = r"[[\p{Arabic}\p{Hebrew}\p{Inherited}]&&\p{Mn}]"
_STROKE = "\N{ARABIC TATWEEL}"
_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"

# A Snowball stemmer is not safe to share between threads and cannot be copied or pickled, so each
# thread has its own and no retriever holds one.
_of_thread = threading.local()


@dataclass(frozen=True)
class Terms:
    """The terms of a text, cut by script: call it for those of a document.

    Where words stand between spaces a term is a word in lower case, of any length, stemmed by the
    Snowball stemmer of `language` and, in Latin and Greek letters, without accents: "cafe" finds
    "café". English loses its stop words and genitives besides. Chinese,
    Japanese, Korean, Thai, Lao, Khmer and Burmese are cut into pairs of neighbouring characters
    whatever the language; a document's single characters are terms, too, for queries of one.
    Full-width letters, ligatures and composed characters become the usual ones; Arabic and Hebrew
    vowel points do not count.

    Args:
        language: Snowball's name of a language or its ISO 639-1 code; None leaves words as they
            are, but for capitals.

    Raises:
        ConfigurationError: There is no such language.

    Examples:
        >>> Terms("english")("The adapters of QLoRA are quantised.")
        ['adapt', 'qlora', 'quantis']
        >>> Terms("english")("Café"), Terms(None)("Café")
        (['cafe'], ['café'])
        >>> Terms("de")("Die Häuser stehen.") == Terms("german")("die haus steh")
        True
        >>> sorted(Terms(None).of_query("北京 Zoo"))
        ['zoo', '北京']
    """

    language: str | None = ENGLISH

    def __post_init__(self) -> None:
        object.__setattr__(self, "language", _checked_language(self.language))

    @property
    def key(self) -> str:
        """What tells these terms from those of another language or version.

        A newer stemmer gives other stems, which queries would no longer meet.
        """
        return f"{self.language or 'none'}/{VERSION}, {versions(('PyStemmer', 'regex'))}"

    def __call__(self, text: str) -> list[str]:
        """Return the terms of a document, in order; one without any gives `[]`.

        Raises:
            MissingExtraError: A package of the extra `bm25` is not installed.
        """
        return self._terms(text, singles=True)

    def of_query(self, text: str) -> list[str]:
        """Return the terms of a query: of a document's, those that tell it from others."""
        return self._terms(text, singles=False)

    def _terms(self, text: str, *, singles: bool) -> list[str]:
        if text.isascii():
            words, characters = self._words(text), []
        else:
            # Composed letters and ligatures as they are typed: PDFs hold others.
            text = unicodedata.normalize("NFKC", text)
            patterns = _patterns()
            text = patterns.hidden.sub("", text)
            words = self._words(patterns.unspaced.sub(" ", text))
            characters = [
                term
                for run in patterns.unspaced.findall(text)
                for term in _pairs(patterns.character.findall(run.casefold()), singles=singles)
            ]
        if self.language in STEMMED.values() and words:
            words = _stemmer(str(self.language)).stemWords(words)
        if self.language not in {None, ENGLISH}:
            # After the stemmer, which goes by the accents; English lost them before.
            words = [unaccented(word) for word in words]
        return words + characters

    def _words(self, text: str) -> list[str]:
        if self.language == ENGLISH:
            text = _POSSESSIVE.sub("", text)
        elif self.language == "turkish":
            text = text.replace("I", "\N{LATIN SMALL LETTER DOTLESS I}").replace(
                "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i"
            )
        text = text.casefold()
        found: list[str] = (
            re.findall(r"\w+", text) if text.isascii() else _patterns().word.findall(text)
        )
        if self.language == ENGLISH:  # whose stemmer knows no accents
            return [word for word in map(unaccented, found) if word not in STOP_WORDS]
        return found


def english_terms(text: str) -> list[str]:
    """Return the terms of an English text, as `Terms("english")` does.

    Raises:
        MissingExtraError: A package of the extra `bm25` is not installed.

    Examples:
        >>> english_terms("e\N{LATIN SMALL LIGATURE FFI}cient") == english_terms("efficient")
        True
        >>> english_terms("Crohn's disease, type 2")
        ['crohn', 'diseas', 'type', '2']
    """
    return Terms(ENGLISH)(text)


def text_to_terms(language: str | None, preprocess_func: TextToTerms | None) -> TextToTerms:
    """Return `preprocess_func`, or the terms of `language` without one.

    Raises:
        ConfigurationError: There is no such language, or both were chosen.
    """
    if preprocess_func is None:
        return Terms(language)
    if not callable(preprocess_func):
        raise ConfigurationError(
            f"preprocess_func={shown(preprocess_func)}: expected a function from a text to its "
            f"terms."
        )
    if language != ENGLISH:
        raise ConfigurationError(
            f"language={shown(language)} and preprocess_func both say how a text becomes terms; "
            f"give one of them."
        )
    return preprocess_func


def terms_of(preprocess_func: TextToTerms, text: str) -> list[str]:
    """Return the terms of a document.

    Raises:
        InputTypeError: The function gave something else than terms.
    """
    terms: object = preprocess_func(text)
    # Of a text, as str.lower gives it, every character would be a term.
    if isinstance(terms, (str, bytes)) or not isinstance(terms, Iterable):
        raise InputTypeError(
            f"preprocess_func gave {shown(terms)} for {shown(text)}; expected a list of terms, as "
            f"str.split gives it."
        )
    return list(terms)


def terms_of_query(preprocess_func: TextToTerms, query: str) -> list[str]:
    """Return the terms that a query is searched by."""
    return terms_of(
        preprocess_func.of_query if isinstance(preprocess_func, Terms) else preprocess_func, query
    )


def warn_of_texts_without_terms(texts: Sequence[str], terms: Sequence[Sequence[str]]) -> None:
    """Warn where most of the texts with something in them have no term: none of them is found."""
    written = [found for text, found in zip(texts, terms, strict=True) if text.strip()]
    without = sum(not found for found in written)
    if without * 2 > len(written):
        warnings.warn(
            f"{without} of {len(written)} texts have no term to search for, so BM25 never finds "
            f"them. Pass language= or a preprocess_func that fits what they are written in. "
            f"{see('texts-without-terms')}",
            RerankWarning,
            stacklevel=4,  # where the retriever was built
        )


def _checked_language(language: object) -> str | None:
    if language is None:
        return None
    codes = {**STEMMED, **UNSTEMMED}
    known = codes.values()
    if isinstance(language, str):
        name = language.strip().lower()
        name = codes.get(name, name)
        if name in known:
            return name
    asked = language.lower() if isinstance(language, str) else ""
    close = difflib.get_close_matches(asked, known, n=1, cutoff=0.75)
    meant = f"did you mean {close[0]!r}? Expected is" if close else "expected"
    raise ConfigurationError(
        f"language={shown(language)}: {meant} one of {', '.join(sorted(STEMMED.values()))}; "
        f"{', '.join(sorted(UNSTEMMED.values()))} (which have no stemmer); the ISO 639-1 code of "
        f"one of these; or None, which stems nothing and suits any other language."
    )


def _pairs(characters: Sequence[str], *, singles: bool) -> list[str]:
    if len(characters) == 1:
        return list(characters)
    pairs = [one + other for one, other in itertools.pairwise(characters)]
    return [*characters, *pairs] if singles else pairs


@dataclass(frozen=True)
class _Patterns:
    """What a text that is not ASCII is cut by."""

    hidden: Any
    unspaced: Any
    character: Any
    word: Any


@cache
def _patterns() -> _Patterns:
    # Python's own `\w` knows no combining marks and cuts Hindi words into pieces.
    regex = require("regex", extra="bm25")
    return _Patterns(
        hidden=regex.compile(rf"[\p{{Cf}}--{_ZERO_WIDTH_SPACE}]|{_POINTS}|{_STROKE}", regex.V1),
        unspaced=regex.compile(rf"(?:[{_UNSPACED}]\p{{M}}*)+"),
        character=regex.compile(r"\P{M}\p{M}*"),
        word=regex.compile(r"\w+"),
    )


def _stemmer(language: str) -> Any:
    stemmers: dict[str, Any] = _of_thread.__dict__
    if language not in stemmers:
        package = require("Stemmer", extra="bm25")
        try:
            stemmers[language] = package.Stemmer(language)
        except KeyError as error:
            raise ConfigurationError(
                f"language={shown(language)}: the installed PyStemmer has no such stemmer; take "
                f"a newer one (pip install -U PyStemmer), or language=None."
            ) from error
    return stemmers[language]
