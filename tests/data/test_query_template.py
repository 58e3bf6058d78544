"""A question's own template: what is shown, learned and asked, for models with and without a chat template."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.requests import tokenizer_for_requests
from qweft.data.template import render, with_template
from qweft.data.tokens import tokenise
from qweft.evaluation.generation import prompt_of
from tests.data.tiny_tokenizer import CHATML, learned_text

QUESTION = "Question: {query} Think step by step.\nAnswer:"


@pytest.mark.parametrize("own", [None, CHATML])
def test_the_answer_follows_at_once_and_the_model_s_own_template_is_not_used(tokenizer_with, talk, own):
    tokenizer = tokenizer_with(own)
    made = with_template(tokenizer, QUESTION)
    said = talk("2+2?", "4")
    assert render(said.messages, made) == "Question: 2+2? Think step by step.\nAnswer:4<|im_end|>"
    assert learned_text(tokenise(said, made), made) == ["4<|im_end|>"]
    prompt = prompt_of(said, made)
    assert made.decode(prompt.ids) == "Question: 2+2? Think step by step.\nAnswer:" and prompt.shown == "2+2?"
    row = tokenise(said, made)
    assert row["input_ids"][: len(prompt.ids)] == prompt.ids
    assert tokenizer.chat_template == own and with_template(tokenizer, None) is tokenizer


@pytest.mark.parametrize(("template", "count"), [("Question:", "no"), ("{query}{query}", "2")])
def test_a_template_without_its_one_place(plain, template, count):
    with pytest.raises(QweftError, match=rf"data\.template .*: it has {count} {{query}}, and needs one"):
        with_template(plain, template)


def test_a_template_that_writes_the_present_day_gives_the_same_rows_tomorrow(tokenizer_with, talk):
    """Llama 3.2's, SmolLM3's and gpt-oss's do: a comparison could not go on after midnight."""
    day = "{%- if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}\n"
    turns = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<|im_end|>{% endfor %}"
    ask = "{% if add_generation_prompt %}[assistant]{% endif %}"
    plain, dated = tokenizer_with(turns + ask), tokenizer_with(day + "{{ day }}: " + turns + ask)
    messages = talk("2+2?", "4").messages
    assert render(messages, dated) == f"26 Jul 2024: {render(messages, plain)}"
    turns = [{"role": message.role, "content": message.content} for message in messages]
    served = tokenizer_for_requests(dated).apply_chat_template(turns, add_generation_prompt=True)
    assert dated.decode(served.input_ids).replace(" ", "").startswith("26Jul2024:")
