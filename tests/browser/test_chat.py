"""The page of `qweft ui` in a real browser: an answer as it comes, circuits beside it, on a phone and a wide screen."""

import json
import threading

import pytest

from qweft import QwthnConfig
from qweft.serve.models import Drawn
from tests.browser.browser import CONTRASTS, OVERFLOWING
from tests.serve.conftest import TARGETS, save_adapter, save_talkative_model
from tests.serve.pages import served_page

DONE = "#send:not([hidden])"
NUMBERS = "[...document.querySelectorAll('#values td')].map(e => e.textContent).join()"
AT_ITS_END = "e => e.clientHeight > 0 && e.scrollTop + e.clientHeight >= e.scrollHeight - 1"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    model = save_talkative_model(folder / "model")
    config = QwthnConfig.preset("qtha", r=4, width=8, bond_dimension=2, target_modules=TARGETS)
    return save_adapter(model, folder / "qtha-0" / "adapter", config)


@pytest.fixture(scope="module")
def address(adapter):
    with served_page(adapter, beside="base", max_new_tokens=8) as client:
        yield client.address


@pytest.fixture
def visit(browser, address):
    """Opens the page; fails where it complains, or asks for anything but its own server."""
    opened, said, asked = [], [], []
    own = (address.partition("?")[0], "data:", "blob:")

    def visit(width=1440, height=900, **media):
        page = browser.new_page(viewport={"width": width, "height": height})
        opened.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(**media)
        page.goto(address)
        page.wait_for_selector("#drawing img", state="attached")
        return page

    yield visit
    for page in opened:
        page.close()
    assert [each for each in said if "responded with a status of 4" not in each] == []
    assert [url for url in asked if not url.startswith(own)] == []


def ask(page, question):
    page.fill("#line", question)
    page.press("#line", "Enter")
    page.wait_for_selector(DONE)


def test_a_question_two_answers_and_the_circuits(visit):
    page = visit()
    assert page.title() == "qtha-0 beside base · qweft"
    page.wait_for_selector("#when:not(:empty)", state="attached")  # the page's script fills it
    assert page.locator("#when").text_content() == "They come with the first answer."
    assert not page.locator("#values").is_visible()
    ask(page, "How many?")
    assert page.locator(".question").all_text_contents() == ["How many?"]
    assert page.locator(".answer h3").all_text_contents() == ["qtha-0", "base"]
    left, right = (page.locator(".answer").nth(number).bounding_box() for number in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    assert all("a second" in note for note in page.locator(".answer small").all_text_contents())
    page.wait_for_selector("#values tbody tr")
    assert page.locator("#values thead th").all_text_contents() == ["token", "⟨Z₀⟩", "⟨Z₁⟩", "⟨Z₂⟩", "⟨Z₃⟩"]
    assert page.input_value("#line") == ""


def numbers(page):
    return page.locator("#values td").all_text_contents()


def test_values_come_while_the_answer_does_and_stop_ends_it(visit, monkeypatch):
    may = threading.Semaphore(0)
    draw = Drawn.__call__
    monkeypatch.setattr(Drawn, "__call__", lambda *given: (may.acquire(timeout=30), draw(*given))[1])
    page = visit()
    page.fill("#line", "How many?")
    page.press("#line", "Enter")
    for _ in range(3):
        may.release()
    page.wait_for_selector("#values tbody tr")
    assert page.locator("#stop").is_visible() and not page.locator("#send").is_visible()
    assert page.locator(".answer.given").count() == 1
    before = numbers(page)
    may.release()
    page.wait_for_function(f"before => {NUMBERS} !== before", arg=",".join(before))
    page.click("#stop")
    page.wait_for_selector(DONE)
    for _ in range(20):
        may.release()
    assert "stopped" in page.locator(".answer small").first.text_content()
    assert page.locator(".answer.given").count() == 0


def test_what_is_written_is_text_and_no_markup(visit):
    page = visit()
    delta = {"choices": [{"delta": {"content": "<img src=x onerror=alert(1)>"}, "finish_reason": "stop"}]}
    answer = {"content_type": "text/event-stream", "body": f"data: {json.dumps(delta)}\n\n"}
    page.route("**/v1/chat/completions", lambda route: route.fulfill(**answer))
    ask(page, "<b id=bold>you</b>")
    assert page.locator(".question").text_content() == "<b id=bold>you</b>"
    assert page.locator(".answer p").first.text_content().startswith("<img src=x")
    assert page.locator("#turns img, #bold").count() == 0


def test_errors_a_reload_and_a_new_beginning(visit):
    page = visit()
    ask(page, "How many?")
    page.click("#settings summary")
    page.fill("[data-setting=temperature]", "-1")
    page.press("#line", "Escape")
    with page.expect_response("**/v1/chat/completions"):
        ask(page, "And now?")
    assert "temperature: should be" in page.get_by_role("alert").last.text_content()
    page.reload()
    page.wait_for_selector(".turn")
    assert page.locator(".question").all_text_contents() == ["How many?"]
    page.click("#anew")
    page.wait_for_selector(".hint")
    assert page.locator(".turn").count() == 0


def test_the_oldest_turns_are_left_out_where_the_model_takes_no_more(visit):
    page = visit()
    for _ in range(4):
        ask(page, "How many are there now, all in all?")
    assert page.get_by_role("alert").count() == 0
    assert "left out, for room" in page.locator(".said").last.text_content()


def test_the_system_message_and_the_rows_to_save(visit):
    page = visit()
    page.click("#settings summary")
    page.fill("#system", "be brief")
    page.press("#system", "Tab")
    page.get_by_text("system message: be brief").wait_for()
    ask(page, "How many?")
    with page.expect_download() as waited:
        page.get_by_role("button", name="Save").click()
    rows = [json.loads(line) for line in waited.value.path().read_text().splitlines()]
    assert waited.value.suggested_filename == "conversation.jsonl"
    assert [row["answered_by"] for row in rows] == ["qtha-0", "base"]
    assert rows[0]["messages"][0] == {"role": "system", "content": "be brief"}


def test_enter_that_chooses_a_word_does_not_ask(visit):
    page = visit()
    page.fill("#line", "你好")
    page.evaluate("""() => document.getElementById('line').dispatchEvent(
        new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))""")
    page.press("#line", "Shift+Enter")
    assert page.input_value("#line") == "你好\n" and page.locator(".turn").count() == 0
    page.press("#line", "Enter")
    page.wait_for_selector(".turn")
    page.wait_for_selector(DONE)
    assert page.locator(".question").text_content() == "你好"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(visit, width):
    page = visit(width, 800)
    ask(page, "How many? " + "W" * 30)
    assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
    if width < 960:
        assert not page.locator("#circuit").is_visible()
        page.get_by_role("button", name="Circuit").click()
        assert page.locator("#circuit").is_visible() and not page.locator("#talk").is_visible()
        assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
        page.wait_for_function(AT_ITS_END, arg=page.query_selector("#values"))
    assert page.locator("#drawing img").bounding_box()["width"] > 200
    page.click("#settings summary")
    assert page.evaluate(OVERFLOWING) == {"page": 0, "parts": []}
    assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(visit, scheme):
    page = visit(color_scheme=scheme)
    ask(page, "How many?")
    page.wait_for_selector("#values tbody tr")
    page.click("#settings summary")
    page.fill("[data-setting=temperature]", "-1")
    ask(page, "How many?")
    page.get_by_role("alert").wait_for()
    page.click("#settings summary")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 15
    assert {kind: ratio for kind, ratio in contrasts.items() if ratio < 4.5} == {}


def test_without_the_program_it_says_so(browser, adapter):
    page = browser.new_page()
    with served_page(adapter) as client:
        page.goto(client.address)
        page.wait_for_selector(".hint")
    page.fill("#line", "How many?")
    page.press("#line", "Enter")
    page.get_by_role("alert").wait_for()
    assert "it may have ended: start qweft ui again" in page.get_by_role("alert").first.text_content()
    page.close()
