"""A question's own template: what is shown, learned and asked, for models with and without a chat template."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation, Message
from qweft.data.requests import tokenizer_for_requests
from qweft.data.template import render, with_template
from qweft.data.tokens import tokenise
from qweft.evaluation.generation import prompt_of
from tests.data.examples import TURNS, make_conversation
from tests.data.tiny_tokenizer import CHATML, learned_texts, make_tokenizer

QUESTION = "Question: {query} Think step by step.\nAnswer:"
CONVERSATION = make_conversation("2+2?", "4")


def test_the_plain_template(plain):
    conversation = make_conversation("2+2?", "4", "sure?", "yes", system="Be kind.")
    text = render(conversation.messages, plain)
    assert text == "Be kind.\nUser: 2+2?\nAssistant: 4<|im_end|>\nUser: sure?\nAssistant: yes<|im_end|>\n"


@pytest.fixture(params=[None, CHATML], ids=["no chat template", "chat template"])
def tokenizer(request):
    return make_tokenizer(request.param)


def test_the_answer_follows_the_users_template_at_once(tokenizer):
    templated = with_template(tokenizer, QUESTION)
    assert render(CONVERSATION.messages, templated) == "Question: 2+2? Think step by step.\nAnswer:4<|im_end|>"
    assert learned_texts(tokenise(CONVERSATION, templated), templated) == ["4<|im_end|>"]


def test_the_prompt_by_the_users_template_is_that_of_training(tokenizer):
    templated = with_template(tokenizer, QUESTION)
    prompt = prompt_of(CONVERSATION, templated)
    assert templated.decode(prompt.ids) == "Question: 2+2? Think step by step.\nAnswer:"
    assert prompt.shown == "2+2?"
    assert tokenise(CONVERSATION, templated)["input_ids"][: len(prompt.ids)] == prompt.ids


def test_the_models_own_template_is_kept_for_others(tokenizer):
    chat_template = tokenizer.chat_template
    with_template(tokenizer, QUESTION)
    assert tokenizer.chat_template == chat_template
    assert with_template(tokenizer, None) is tokenizer


@pytest.mark.parametrize(("template", "count"), [("Question:", "no"), ("{query}{query}", "2")])
def test_a_template_needs_one_place_for_the_question(plain, template, count):
    with pytest.raises(QweftError, match=rf"data\.template .*: it has {count} {{query}}, and needs one"):
        with_template(plain, template)


MESSAGES = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<|im_end|>{% endfor %}"
PROMPT = "{% if add_generation_prompt %}[assistant]{% endif %}"
DATE = "{%- if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}\n{{ day }}: "


def test_a_template_that_writes_the_present_day_gives_the_same_rows_tomorrow():
    """Llama 3.2's, SmolLM3's and gpt-oss's do: a comparison could not go on after midnight."""
    undated = make_tokenizer(MESSAGES + PROMPT)
    dated = make_tokenizer(DATE + MESSAGES + PROMPT)
    messages = CONVERSATION.messages
    assert render(messages, dated) == f"26 Jul 2024: {render(messages, undated)}"


def test_a_request_has_the_day_of_training():
    served = tokenizer_for_requests(make_tokenizer(DATE + MESSAGES + PROMPT))
    prompt = served.apply_chat_template(TURNS, add_generation_prompt=True)
    assert served.decode(prompt.input_ids).replace(" ", "").startswith("26Jul2024:")


@pytest.mark.parametrize("role", ["system", "user", "tool", "assistant"])
def test_a_template_that_leaves_out_a_role_is_refused(every_role, role):
    tokenise(every_role, make_tokenizer(CHATML))
    without_role = CHATML.replace("m['content']", f"(m['content'] if m['role'] != '{role}' else '')")
    with pytest.raises(QweftError, match=f"leaves out what the {role} says"):
        tokenise(every_role, make_tokenizer(without_role))


@pytest.fixture
def every_role():
    """A conversation with a message of each role."""
    messages = tuple(Message(role, f"{role} says") for role in ("system", "user", "tool", "assistant"))
    return Conversation(messages, "g")
