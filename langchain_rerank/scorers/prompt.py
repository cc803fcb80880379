"""What a causal model is asked, and which of its next tokens is the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from langchain_rerank.checks import shown
from langchain_rerank.errors import ConfigurationError

_PLACE = re.compile(r"\{(query|text|instruction)\}")
_ROLES = {"query": "query", "text": "document", "instruction": "system"}


@dataclass(frozen=True)
class RerankPrompt:
    """A prompt around a query and a text, and the tokens whose logits are the score.

    For models whose files do not say how they are asked: a causal model without a reranking
    set-up, or a classifier made of one. Nothing is added to the template, no special token either.
    Of a pair that is too long the text alone is cut, and the end of the prompt stays.

    Args:
        template: The prompt, with `{query}` and `{text}` in it once each, and something between
            the two; `{instruction}` may be in it. Other braces stand for themselves.
        true_token: The token whose logit, at the end of the prompt, is the score of a causal model;
            None for a classifier, whose head gives the score.
        false_token: The token whose logit is subtracted; None for none.
        instruction: What `{instruction}` is where the scorer has no `instruction` of its own.

    Raises:
        ConfigurationError: A place is missing or stands twice, query and text would be glued
            together, or there is a `false_token` without a `true_token`.

    Examples:
        >>> RerankPrompt("{query}{text}", "yes")
        Traceback (most recent call last):
            ...
        langchain_rerank.errors.ConfigurationError: The template puts nothing between {query} ...
    """

    template: str
    true_token: str | None = None
    false_token: str | None = None
    instruction: str = ""

    def __post_init__(self) -> None:
        for name in ("template", "true_token", "false_token", "instruction"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name.endswith("_token")):
                raise ConfigurationError(f"{name}={shown(value)}: it must be a text.")
        places = _PLACE.findall(self.template)
        for place in ("query", "text"):
            if places.count(place) != 1:
                raise ConfigurationError(
                    f"The template has {{{place}}} {places.count(place)} times; it must be in it "
                    f"once: {self.template!r:.200}"
                )
        first, second = sorted(("query", "text"), key=lambda one: self.template.index(f"{{{one}}}"))
        between = self.template.partition(f"{{{first}}}")[2].partition(f"{{{second}}}")[0]
        if not _PLACE.sub("", between):
            raise ConfigurationError(
                f"The template puts nothing between {{query}} and {{text}}, so that the model "
                f"could not tell them apart: {self.template!r:.200}"
            )
        if self.false_token is not None and self.true_token is None:
            raise ConfigurationError(
                f"There is a false_token ({self.false_token!r}) and no true_token; a classifier "
                f"has neither."
            )

    @property
    def chat_template(self) -> str:
        """The same as a chat template (Jinja), in the roles that sentence-transformers gives."""
        parts = _PLACE.split(self.template)
        pieces = [f"{{{{ {literal!a} }}}}" if literal else "" for literal in parts]
        pieces[1::2] = [self._place(name) for name in parts[1::2]]
        return "".join(pieces)

    def _place(self, name: str) -> str:
        content = (
            f"messages | selectattr('role', 'eq', '{_ROLES[name]}') | map(attribute='content')"
        )
        default = f" | default({self.instruction!a})" if name == "instruction" else ""
        return f"{{{{ {content} | first{default} }}}}"
