"""Whether a model's files say how it is asked: a score under a guessed prompt means nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ConfigurationError, ModelLoadError, see
from langchain_rerank.scorers.engine.settings import LoadSettings
from langchain_rerank.scorers.engine.tokens.templates import has_chat_template, render
from langchain_rerank.scorers.prompt import RerankPrompt

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_HELP = (
    "Say how it is asked with prompt=RerankPrompt(template, true_token, false_token), from its "
    "card; guides/models has the prompts of well-known models."
)


def model_file(model: str, name: str, revision: str | None) -> str | None:
    """Return where a file of a model lies, in its folder or in the hub's cache; None if nowhere."""
    if Path(model).is_dir():
        path = Path(model) / name
        return str(path) if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, name, revision=revision)
    except HFValidationError:  # No name of a hub model.
        return None
    return found if isinstance(found, str) else None


def refuse_listwise(settings: LoadSettings) -> None:
    """Refuse a model that ranks all texts together by code of its own, before it is loaded.

    Raises:
        ModelLoadError: It is one.
    """
    model = str(settings.model)
    file = model_file(model, "config.json", settings.revision)
    if file is None:
        return
    try:
        config = json.loads(Path(file).read_text("utf-8"))
        classes = config.get("auto_map", {})
    except (OSError, ValueError, AttributeError):
        return  # Whoever loads it says so.
    for name in classes.values() if isinstance(classes, dict) else ():
        code = model_file(model, f"{str(name).rpartition('.')[0]}.py", settings.revision)
        if code and re.search(r"^\s+def rerank\(", Path(code).read_text("utf-8"), re.MULTILINE):
            raise ModelLoadError(
                f"{settings.name} is a listwise reranker: its own code ranks all texts of a query "
                f"together (rerank in {Path(code).name}), and a text has no score by itself. Use "
                f"ListwiseScorer({settings.name!r}, trust_remote_code=True). "
                f"{see('a-model-could-not-be-loaded')}"
            )


def answer_with(model: CrossEncoder, prompt: RerankPrompt) -> None:
    """Make the tokens of `prompt` those whose logits are the score.

    Raises:
        ConfigurationError: One of them is no single token, or is named for a classifier, or missing
            for a causal model.
    """
    model.default_prompt_name = None  # The prompt has an instruction of its own.
    score = _logit_score(model)
    if (score is None) != (prompt.true_token is None):
        raise ConfigurationError(
            "The prompt of a causal model names the token whose logit is the score (true_token), "
            f"and that of a classifier none; the prompt has true_token={prompt.true_token!r}, and "
            f"the model is a {type(model.transformers_model).__name__}."
        )
    if score is not None:
        score.true_token_id = _token_id(model, str(prompt.true_token))
        no = prompt.false_token
        score.false_token_id = None if no is None else _token_id(model, no)


def _token_id(model: CrossEncoder, token: str) -> int:
    ids = model.tokenizer.encode(token, add_special_tokens=False)
    if len(ids) != 1 or ids[0] == getattr(model.tokenizer, "unk_token_id", None):
        raise ConfigurationError(
            f"{token!r} is {len(ids)} tokens of this model ({ids}), and must be one that it knows; "
            f"mind capitals and spaces: 'Yes', 'yes' and ' yes' are different tokens."
        )
    return int(ids[0])


def _logit_score(model: CrossEncoder) -> Any | None:
    return next((one for one in model if hasattr(one, "true_token_id")), None)


def check_setup(model: CrossEncoder, settings: LoadSettings) -> None:
    """Refuse a model whose prompt would be a guess, or does not keep query and text apart.

    Raises:
        ModelLoadError: It is one.
    """
    flaw = _guessed(model, settings) or (
        _flaw_of_chat_template(model) if has_chat_template(model) else _flaw_of_pair(model)
    )
    if flaw:
        raise ModelLoadError(f"{settings.name} {flaw} {_HELP} {see('a-prompt-is-missing')}")


def _guessed(model: CrossEncoder, settings: LoadSettings) -> str | None:
    score = _logit_score(model)
    if score is None or settings.prompt is not None:
        return None
    if score.true_token_id == score.false_token_id:
        return "compares a token with itself: its tokenizer has no tokens 'yes' and 'no'."
    template = getattr(model.tokenizer, "chat_template", None)
    if all(re.search(rf"['\"]{role}['\"]", str(template)) for role in ("query", "document")):
        return None
    name = settings.model if isinstance(settings.model, str) else _origin(model)
    if name is None or _is_saved_reranker(name, settings.revision):
        return None
    kind = "with a general chat template" if template else "without a template"
    return (
        f"is a causal language model {kind}: its files do not say how it is asked for the "
        f"relevance of a text (no modules.json of a CrossEncoder with a LogitScore, no template "
        f"that names the roles 'query' and 'document')."
    )


def _is_saved_reranker(name: str, revision: str | None) -> bool:
    """Return whether the modules of `name` were saved by a `CrossEncoder`.

    Those of an embedding model are not loaded: sentence-transformers asks its body "yes" or "no".
    """
    file = model_file(name, "config_sentence_transformers.json", revision)
    if file is None or model_file(name, "modules.json", revision) is None:
        return False
    try:
        return bool(json.loads(Path(file).read_text("utf-8")).get("model_type") == "CrossEncoder")
    except (OSError, ValueError, AttributeError):
        return False


def _origin(model: CrossEncoder) -> str | None:
    """Return where a model that was passed in came from, if its answer tokens may be a guess."""
    score, tokenizer = _logit_score(model), model.tokenizer
    answers = [score.true_token_id, score.false_token_id] if score is not None else []
    guess = [tokenizer.convert_tokens_to_ids(token) for token in ("yes", "no")]
    name = getattr(model.config, "name_or_path", None)
    return name if name and answers == guess else None


def _flaw_of_chat_template(model: CrossEncoder) -> str | None:
    query, text = "what people ask", "what a page says"
    try:
        rendered = render(model, None, query, text)
    except Exception as error:  # noqa: BLE001  # a template is a program, and may be missing
        return f"has no chat template that takes a query and a text ({error})."
    for name, part in (("query", query), ("text", text)):
        if part not in rendered:
            return f"has a chat template that leaves the {name} out."
    first, second = sorted((query, text), key=rendered.index)
    if not rendered.partition(first)[2].partition(second)[0]:
        return "has a chat template that puts nothing between query and text."
    return None


def _flaw_of_pair(model: CrossEncoder) -> str | None:
    query, text = "people", "population"
    features: Any = model.preprocess([(query, text)])
    ids = features["input_ids"][0].tolist()
    first, second = (
        model.tokenizer.encode(part, add_special_tokens=False) for part in (query, text)
    )
    types = features["token_type_ids"][0].tolist() if "token_type_ids" in features else [0]
    glued = first + second
    apart = len(set(types)) > 1
    if not apart and any(ids[i : i + len(glued)] == glued for i in range(len(ids))):
        return "puts nothing between query and text, so that it cannot tell them apart."
    return None
