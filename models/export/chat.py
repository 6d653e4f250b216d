"""Renders a model's chat template around one user message."""

from __future__ import annotations

import json
import warnings

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.export.checkpoint import ChatTemplate
from models.export.tokenizer import Tokenizer

# Letters that no template treats specially: neither white space nor markup.
MARK = "NammUserMessage7f3a"


def _raise(message: str) -> None:
    raise TemplateError(message)


def chat_wrapper(template: ChatTemplate | None, tokenizer: Tokenizer | None) -> tuple[str, str]:
    """Text before and after the user's message; two empty texts where the model has no chat form.

    A begin token at the start of the template is left out where the tokenizer puts it before every prompt anyway.
    """
    if template is None or tokenizer is None:
        return "", ""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _raise
    try:
        text = environment.from_string(template.text).render(
            messages=[{"role": "user", "content": MARK}],
            add_generation_prompt=True,
            bos_token=template.bos_token,
            eos_token=template.eos_token,
        )
    except Exception as error:  # a template is foreign code: whatever it raises means the same
        warnings.warn(f"the chat template cannot be rendered ({error}); the archive has no chat form", stacklevel=2)
        return "", ""
    if text.count(MARK) != 1:
        warnings.warn("the chat template does not show the message once; the archive has no chat form", stacklevel=2)
        return "", ""
    prefix, suffix = text.split(MARK)
    begin = tokenizer.id_of(template.bos_token)
    if template.bos_token and [begin] == tokenizer.settings["prefix_ids"]:
        prefix = prefix.removeprefix(template.bos_token)
    return prefix, suffix
