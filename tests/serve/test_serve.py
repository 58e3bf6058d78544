"""`qweft serve`: OpenAI's interface on tiny adapters, over a real connection."""

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import openai
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.cli.serving.utils import build_response_parser, parse_assistant_message

from qweft.cli.main import main
from qweft.data.conversation import Conversation, Message
from qweft.data.messages import read_messages
from qweft.data.requests import tokenizer_for_requests
from qweft.data.template import render, with_template
from qweft.data.tool_calls import read_tools
from qweft.data.tool_text import adapt_to_template
from qweft.models.config import ModelConfig
from qweft.serve.app import Chat, application, parsed
from qweft.serve.checks import check_adapters
from qweft.serve.models import Voices, open_voices, prepare
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.serve.pages import served
from tests.tiny_models import tiny_llama

MOST = 32
"""Tokens of an answer: enough for a tiny model to write some that can be shown."""
QUESTION = [{"role": "user", "content": "What follows 12?"}]


@pytest.fixture(scope="module")
def address(trained):
    """The address of a server of two adapters."""
    checked = check_adapters([str(trained / "qtha/adapter"), f"second={trained / 'mpo/adapter'}"], {})
    app = application(open_voices(*checked, with_base=True), "127.0.0.1")
    with served(app) as port:
        yield f"http://127.0.0.1:{port}"


def ask(address, path, body=None, host=None):
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}{path}", data, headers), timeout=60) as answer:
        return answer.read().decode()


def chat(address, model, **more):
    body = {"model": model, "messages": QUESTION, "temperature": 0, "max_tokens": MOST, **more}
    return ask(address, "/v1/chat/completions", body)


def said(address, model):
    return json.loads(chat(address, model))["choices"][0]["message"]["content"]


def expected(trained, adapter):
    """What transformers generates greedily."""
    tokenizer = AutoTokenizer.from_pretrained(trained / "model")
    model = AutoModelForCausalLM.from_pretrained(trained / "model")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, trained / adapter / "adapter")
    inputs = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        found = model.eval().generate(**inputs, max_new_tokens=MOST, do_sample=False)
    return tokenizer.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_each_adapter_answers_under_its_name(address, trained):
    models = [each["id"] for each in json.loads(ask(address, "/v1/models"))["data"]]
    assert models == ["qtha", "second", "base"]
    wanted = {"qtha": expected(trained, "qtha"), "second": expected(trained, "mpo"), "base": expected(trained, None)}
    assert {name: said(address, name) for name in models} == wanted
    assert len(set(wanted.values())) > 1
    assert json.loads(chat(address, "qtha"))["model"] == "qtha"


def test_openais_client_talks_to_it(address, trained):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
    asked = {"messages": QUESTION, "temperature": 0, "max_tokens": MOST}
    answer = client.chat.completions.create(model="second", **asked)
    assert answer.choices[0].message.content == expected(trained, "mpo")
    for name, adapter in (("qtha", "qtha"), ("second", "mpo"), ("base", None)):
        chunks = [each.choices[0] for each in client.chat.completions.create(model=name, stream=True, **asked)]
        assert "".join(chunk.delta.content or "" for chunk in chunks) == expected(trained, adapter)
        assert chunks[-1].finish_reason in ("stop", "length")
    text = client.completions.create(model="qtha", prompt="What follows", temperature=0, max_tokens=3)
    assert 1 <= text.usage.completion_tokens <= 3 and text.model == "qtha"


def test_it_loads_nothing_that_a_client_names(address, trained):
    for path, body in (
        ("/v1/chat/completions", {"model": str(trained / "model"), "messages": QUESTION}),
        ("/v1/completions", {"model": "gpt2", "messages": None, "prompt": "a"}),
        ("/v1/responses", {"model": "gpt2", "messages": None, "input": "a"}),
    ):
        status, answer = refused(address, path, **body)
        assert status == 404 and "there are qtha, second, base" in answer


def test_a_name_that_leads_here_is_not_answered(address):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, "/v1/models", host="evil.example")
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{qtha}", "--port", "70000"], "--port"),
        (["{qtha}", "nowhere"], "nowhere: no such folder"),
        (["{qtha}", "qtha={qtha}"], "the name 'qtha' is taken"),
        (["base={qtha}"], "the name 'base' is taken"),
        (["{folder}"], "no adapter_config.json in it"),
    ],
)
def test_wrong_input_is_one_sentence(trained, capsys, words, sentence):
    given = [word.format(qtha=trained / "qtha/adapter", folder=trained) for word in words]
    assert main(["serve", *given]) == 2
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]


def refused(address, path="/v1/chat/completions", **body):
    """Status and answer to a request that is not answered with 200."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, path, {"model": "base", "messages": QUESTION, **body})
    return caught.value.code, caught.value.read().decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            {"chat_template_kwargs": {"chat_template": "{% for a in range(9) %}x{% endfor %}"}},
            "chat_template_kwargs",
        ),
        ({"generation_config": json.dumps({"num_beams": 20000})}, "generation_config"),
        ({"temperature": -1}, "temperature: should be greater than or equal to 0, got -1"),
        ({"n": 2}, "is not taken here; leave it out"),
        ({"logprobs": True}, "is not taken here; leave it out"),
        ({"response_format": {"type": "json_object"}}, "is not taken here; leave it out"),
        ({"tool_choice": "required"}, "is not taken here; leave it out"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_answer_begins(address, body, named, stream):
    status, answer = refused(address, stream=stream, **body)
    assert status in (400, 422) and named in answer


@pytest.mark.parametrize("own", [False, True], ids=["greedy model", "drawing model"])
@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ({}, None),
        ({"temperature": 1.0}, True),
        ({"temperature": 0}, False),
        ({"temperature": 1e-45}, False),
        ({"top_p": 0.9}, True),
        ({"seed": 3}, None),
    ],
)
def test_an_answer_is_drawn_where_the_client_asks_for_it(own, asked, drawn):
    """transformers' server stays greedy at any temperature, unless the model's own settings draw."""
    handler = Chat.__new__(Chat)
    handler.generation_state = SimpleNamespace(_compile=False)
    found = handler._build_generation_config(asked, GenerationConfig(do_sample=own))
    assert found.do_sample == (own if drawn is None else drawn)


def test_an_answer_ends_within_the_models_context(address):
    bias = {str(token): -100 for token in range(3)}  # no end
    found = json.loads(chat(address, "base", max_tokens=10**9, logit_bias=bias))["usage"]
    assert found["total_tokens"] == 64
    status, answer = refused(address, messages=[{"role": "user", "content": "a b " * 200}])
    assert status == 413 and "and the model takes 64" in answer


def test_a_seed_holds_whoever_asks_at_the_same_time(address):
    """transformers' server seeds when a request comes in, which is the answer before in the queue."""

    def drawn(seed):
        body = {"temperature": 1.5, "max_tokens": 12} | ({} if seed is None else {"seed": seed})
        return json.loads(chat(address, "qtha", **body))["choices"][0]["message"]["content"]

    seeds = [3, 4, 5, 6, 7, 8]
    alone = [drawn(seed) for seed in seeds]
    assert len(set(alone)) > 3
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(drawn, [*seeds, None, None]))[:6] == alone
    assert drawn(None) != drawn(None)  # and no seed is left behind


def test_parts_of_a_content_are_joined_as_in_training(address):
    def tokens(content):
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
        return json.loads(chat(address, "qtha", **body))["usage"]["prompt_tokens"]

    parts = [{"type": "text", "text": "ab"}, {"type": "text", "text": "cd"}]
    assert tokens(parts) == tokens("abcd") != tokens("ab cd")
    image = [*parts, {"type": "image_url", "image_url": {"url": "x"}}]
    status, answer = refused(address, messages=[{"role": "user", "content": image}])
    told = "the request: message 1 has a part of type image_url, and only text is read"
    assert status == 400 and json.loads(answer)["detail"] == told
    said = [*QUESTION, {"role": "assistant", "content": ""}, *QUESTION]  # an answer may have been empty
    assert json.loads(chat(address, "qtha", messages=said))["choices"]


TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


def test_tools_are_asked_with_as_they_were_learned():
    """A template without a place for tools gets them as text, as in training, and their results in turns."""
    tokenizer = make_tokenizer(CHATML)
    call = {"type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found"},
    ]
    conversation = Conversation((*read_messages(turns, ""), Message("assistant", "x")), "", read_tools([TOOL], ""))
    formed = adapt_to_template(conversation, tokenizer)
    text = render(formed.prompt, tokenizer, answer_next=True, tools=formed.tools)
    assert "<tools>" in text and "<tool_response>" in text
    found = tokenizer_for_requests(tokenizer).apply_chat_template(turns, add_generation_prompt=True, tools=[TOOL])
    assert found["input_ids"] == tokenizer(text, add_special_tokens=False).input_ids


LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("kind", ["plain", "a template of one's own", "Llama 2"])
def test_an_answer_that_is_sent_back_stands_as_in_training(kind):
    """A client gets it with the template's spaces around it, as the model writes them."""
    tokenizer = make_tokenizer(LLAMA_2 if kind == "Llama 2" else None)
    tokenizer = tokenizer if kind != "a template of one's own" else with_template(tokenizer, "Q: {query} A: ")
    turns = [Message("user", "hello"), Message("assistant", "hi"), Message("user", "you?")]
    served = tokenizer_for_requests(tokenizer)
    for content in ("hi", " hi " if kind == "Llama 2" else " hi"):
        asked = [{"role": turn.role, "content": turn.content if turn.role == "user" else content} for turn in turns]
        found = served.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
        assert served.decode(found) == render(turns, tokenizer, answer_next=True)


QWEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("template", ["Question: {query} Answer:", QWEN])
def test_an_answer_of_qwens_kin_is_without_its_question(template):
    """By the type of the model transformers' server looks for ChatML, and takes any other prompt into the answer."""
    plain = make_tokenizer(CHATML)
    if template is QWEN:
        plain.chat_template = QWEN
        tokenizer = plain
    else:
        tokenizer = with_template(plain, template)
    config = Qwen2Config(vocab_size=len(plain), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    own = Qwen2ForCausalLM(config)
    model, served = parsed(own, prepare(own, tokenizer))
    prompt = served.apply_chat_template(QUESTION, add_generation_prompt=True)["input_ids"]

    def read(text):
        ids = plain(text, add_special_tokens=False).input_ids
        cleaned = plain.decode(ids, skip_special_tokens=True)
        return parse_assistant_message(served, model, ids, prompt, cleaned)

    assert (build_response_parser(served, model, prompt) is None) == (template is not QWEN)
    of_gemma = SimpleNamespace(config=SimpleNamespace(model_type="gemma4"))
    assert parsed(of_gemma, prepare(own, tokenizer))[0].config.model_type == "text"  # Gemma 4 has two anchors
    assert application(Voices({"base": (own, served)}, "here", 64), "127.0.0.1")
    assert read("It is 13.")[0] == "It is 13."
    cut = '<tool_call>{"name": "w", "arg'
    assert read(cut)[0] == cut


def test_what_clients_send_by_default_is_taken(address):
    plain = {"n": 1, "stop": [], "logit_bias": {}, "response_format": {"type": "text"}, "tool_choice": "auto"}
    passed = {"user": "me", "metadata": {}, "store": True, "service_tier": "auto", "verbosity": "medium"}
    said = chat(address, "base", **plain, **passed, reasoning_effort=None, prompt_cache_key="k")
    assert json.loads(said)["choices"][0]["message"] == json.loads(chat(address, "base"))["choices"][0]["message"]
    body = {"model": "base", "prompt": "12", "temperature": 0, "max_tokens": 3, "logit_bias": {"9": 100}}
    found = json.loads(ask(address, "/v1/completions", body))["choices"][0]["text"]
    assert found != json.loads(ask(address, "/v1/completions", body | {"logit_bias": {}}))["choices"][0]["text"]
    nothing = {"parallel_tool_calls": None, "instructions": None, "stop": None}
    body = {
        "model": "base",
        "input": "12",
        "max_output_tokens": 3,
        "temperature": 0,
        "store": False,
        "include": [],
        **nothing,
    }
    assert json.loads(chat(address, "base", chat_template_kwargs=None, tools=None))["choices"]
    assert ask(address, "/v1/responses", body | {"reasoning": {}, "text": {}})


def test_what_is_malformed_is_no_fault_of_the_server(address):
    for streamed in (False, True):
        assert refused(address, "/v1/completions", messages=None, prompt="", stream=streamed)[0] == 422
    for path, field in (
        ("/v1/completions", {"prompt": "a", "logprobs": 1}),
        ("/v1/responses", {"input": "a", "previous_response_id": "resp_1"}),
    ):
        status, answer = refused(address, path, messages=None, **field)
        assert status == 422 and "is not taken here; leave it out" in answer
    assert refused(address, messages=[{}])[0] == 400
    status, answer = refused(address, tools=5)
    assert status == 400 and "Error" not in answer
    assert refused(address, messages=[], tools=[TOOL])[0] == 422
    for body, name in (({"model": None}, "model"), ({"messages": None}, "messages")):
        status, answer = refused(address, **body)
        assert status == 422 and f"the request has no {name}; give one" in answer
    assert refused(address, model=5)[0] in (400, 404)


def test_paths_that_read_further_files_are_not_there(address):
    for path in ("/v1/systemone", "/v1/audio/transcriptions", "/load_model", "/reset"):
        assert refused(address, path)[0] == 404
    for path in ("/docs", "/openapi.json"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(address, path)


def test_a_base_models_own_settings_are_those_of_other_commands(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model/generation_config.json").write_text(
        json.dumps({"num_beams": 50000, "top_k": 7, "repetition_penalty": 1.5})
    )
    config = ModelConfig(name=str(tmp_path / "model"), device="cpu")
    for model, tokenizer in open_voices(config, {"a": trained / "qtha/adapter"}, with_base=True).models.values():
        assert model.generation_config.num_beams in (None, 1) and model.generation_config.top_k == 7
        assert model.generation_config.repetition_penalty in (None, 1)  # temperature 0 answers as other commands do
        assert tokenizer.eos_token_id in model.generation_config.eos_token_id  # where other commands end an answer


def test_a_signal_ends_the_answers_in_progress(trained, tmp_path):
    """A thread that the interpreter ends while it is within PyTorch takes the whole program down with an abort."""
    shutil.copytree(trained / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "max_position_embeddings": 10**6}))
    words = [sys.executable, "-m", "qweft", "serve", str(trained / "qtha/adapter"), "--port", "0"]
    words += ["--model.name", str(tmp_path / "model"), "--model.device", "cpu"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://[\d.:]+", process.stdout.readline())[0]
        unending = {"max_tokens": 10**6, "logit_bias": {str(token): -100 for token in range(3)}}

        def ask_for_good(stream):
            with suppress(OSError, http.client.HTTPException):
                chat(address, "qtha", **unending, stream=stream)

        for each in (True, False):  # the second one waits
            threading.Thread(target=ask_for_good, args=(each,), daemon=True).start()
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert process.wait(120) == 143
        assert time.monotonic() - asked < 30
        said = process.stderr.read()
        assert "terminate" not in said and "Traceback" not in said
    finally:
        process.kill()
        process.wait()


def test_all_tokens_are_drawn_from():
    """transformers' generate takes the 50 most likely ones where nothing is said."""
    model = tiny_llama()
    prepare(model, make_tokenizer(CHATML))
    asked = {"do_sample": True, "temperature": 100.0, "max_new_tokens": 1, "num_return_sequences": 400}
    assert len(model.generate(torch.tensor([[5, 6]]), **asked)[:, -1].unique()) > 50
