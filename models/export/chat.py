"""Renders a model's chat template around one user message."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.export.checkpoint import ChatTemplate
from models.export.tokenizer import Tokenizer

# Letters that no template treats specially: neither white space nor markup.
MARK = "NammUserMessage7f3a"
ANSWER = "NammAnswer91bc"


def _raise(message: str) -> None:
    raise TemplateError(message)


@dataclass(frozen=True)
class ChatForm:
    """Text around the user's message, both parts empty where the model has no chat form, and the token that ends an answer."""

    prefix: str = ""
    suffix: str = ""
    stop_id: int | None = None
    after_prefix: bool = False  # the template wrote the tokenizer's own prefix, which was left out of `prefix`


def chat_form(template: ChatTemplate | None, tokenizer: Tokenizer | None) -> ChatForm:
    """A begin token at the start of the template is left out where the tokenizer puts it before every prompt anyway."""
    if template is None or tokenizer is None:
        return ChatForm()
    question = {"role": "user", "content": MARK}
    try:
        text = _render(template, [question], True)
    except Exception as error:  # a template is foreign code: whatever it raises means the same
        warnings.warn(f"the chat template cannot be rendered ({error}); the archive has no chat form", stacklevel=2)
        return ChatForm()
    if text.count(MARK) != 1:
        warnings.warn("the chat template does not show the message once; the archive has no chat form", stacklevel=2)
        return ChatForm()
    prefix, suffix = text.split(MARK)
    # By its id: a template may write the token itself, whatever the tokenizer's files call the begin of a text.
    texts = {id: text for text, id in tokenizer.ids.items()}
    whole_prefix = prefix
    for id in tokenizer.settings["prefix_ids"]:
        prefix = prefix.removeprefix(texts.get(id, ""))
    try:
        whole = _render(template, [question, {"role": "assistant", "content": ANSWER}], False)
    except Exception:  # a template that cannot show an answer; the model's own stop ids are all there is
        whole = ""
    stop_id = _special_at_start(whole.partition(ANSWER)[2].lstrip(), template, tokenizer)
    return ChatForm(prefix, suffix, stop_id, after_prefix=prefix != whole_prefix)


def _environment() -> Environment:
    """What transformers gives a template."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _raise
    # The date of the export: an archive's chat form is the same every day.
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _render(template: ChatTemplate, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
    return _environment().from_string(template.text).render(
        messages=messages,
        add_generation_prompt=add_generation_prompt,
        bos_token=template.bos_token,
        eos_token=template.eos_token,
    )


def _special_at_start(text: str, template: ChatTemplate, tokenizer: Tokenizer) -> int | None:
    """Id of the special token that `text` begins with."""
    specials = {item["text"] for item in tokenizer.data.get("added", []) if item.get("special")} | {template.eos_token}
    found = max((token for token in specials if token and text.startswith(token)), key=len, default="")
    return tokenizer.id_of(found)
