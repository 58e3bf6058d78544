// The page of `qweft ui`. Model output is inserted as text, never as markup.
"use strict";

const byId = id => document.getElementById(id);
const TOKEN = new URLSearchParams(location.search).get("token") ?? "";
const LOOK = 350; // milliseconds between two updates of the values during an answer

const page = { voices: [], isBusy: false, system: "" };

/** Returns an element with a class and text. */
function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

async function look(path) {
  let response;
  try {
    response = await fetch(path, { headers: { "X-Qweft-Token": TOKEN } });
  } catch {
    throw new Error("the program does not answer; it may have ended: start qweft ui again");
  }
  const found = await response.json();
  if (!response.ok) throw new Error(found.error);
  return found;
}

// The conversation

/** Runs a function that extends the conversation, and scrolls to its end if the end was in view. */
function growing(change) {
  const turns = byId("turns");
  const atEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 60;
  change();
  if (atEnd) turns.scrollTop = turns.scrollHeight;
}

function addTurn(question) {
  document.querySelector("#turns .hint")?.remove();
  const turn = made("article", "turn");
  turn.append(made("p", "question", question));
  const answers = made("div", "answers");
  const parts = page.voices.map((voice, number) => {
    const answer = made("section", number ? "answer" : "answer first");
    const [text, note] = [made("p"), made("small")];
    answer.append(made("h3", "", voice.name), text, note);
    answers.append(answer);
    return { answer, text, note };
  });
  turn.append(answers);
  byId("turns").append(turn);
  return parts;
}

function say(text, className = "said") {
  const said = made("p", className, text);
  said.setAttribute("role", className.startsWith("failed") ? "alert" : "status");
  growing(() => byId("turns").append(said));
}

function addHint() {
  const hint = made("div", "hint");
  const names = page.voices.map(voice => voice.name);
  hint.append(made("p", "", names.length > 1 ? `${names.join(" and ")} answer every question, one after the other; each remembers its own answers.`
    : `${names[0]} answers.`));
  const keys = made("p");
  keys.append(made("kbd", "", "Enter"), " asks, ", made("kbd", "", "Shift"), " ", made("kbd", "", "Enter"), " begins a line, ",
    made("kbd", "", "/help"), " says what else can be typed.");
  hint.append(keys);
  byId("turns").append(hint);
}

/** Shows the state of the server. */
async function show() {
  const state = await look("state");
  page.voices = state.voices;
  const names = state.voices.map(voice => voice.name).join(" beside ");
  document.title = `${names} · qweft`;
  byId("names").textContent = names;
  byId("origin").textContent = state.origin;
  showSystem(state);
  for (const field of document.querySelectorAll("[data-setting]")) {
    if (field.value === "") field.value = state.settings[field.dataset.setting];
  }
  byId("turns").replaceChildren();
  for (const { question, answers } of state.turns) {
    addTurn(question).forEach((part, number) => { part.text.textContent = answers[number]; });
  }
  if (!state.turns.length) addHint();
  byId("turns").scrollTop = byId("turns").scrollHeight;
  return state;
}

function showSystem(state) {
  page.system = state.system ?? "";
  byId("system").value = page.system;
}

function settings() {
  const fields = [...document.querySelectorAll("[data-setting]")];
  return Object.fromEntries(fields.map(field => [field.dataset.setting, field.value === "" ? null : Number(field.value)]));
}

function setBusy(isBusy) {
  page.isBusy = isBusy;
  byId("send").hidden = isBusy;
  byId("stop").hidden = !isBusy;
  byId("anew").disabled = byId("system").disabled = isBusy;
}

/** Sends a line and shows its events. */
async function take(line) {
  if (page.isBusy) return;
  setBusy(true);
  const isCommand = line.startsWith("/");
  let parts = [];
  if (!isCommand) growing(() => { parts = addTurn(line.trim()); byId("turns").scrollTop = byId("turns").scrollHeight; });
  parts[0]?.answer.classList.add("given");
  const looking = setInterval(showValues, LOOK);
  try {
    for await (const event of events(line)) await heed(event, parts, line);
  } catch (error) {
    say(error.message, "failed");
  }
  clearInterval(looking);
  parts.forEach(part => part.answer.classList.remove("given"));
  setBusy(false);
  showValues();
}

async function heed(event, parts, line) {
  if (event.kind === "piece") {
    growing(() => { parts[event.voice].text.textContent += event.text; });
  } else if (event.kind === "done") {
    parts[event.voice].answer.classList.remove("given");
    parts[event.voice + 1]?.answer.classList.add("given");
    growing(() => { parts[event.voice].note.textContent = event.note; });
  } else if (event.kind === "failed") {
    say(event.text, "failed");
  } else {
    if (line.startsWith("/reset") || line.startsWith("/system")) await show();
    say(event.text, line.startsWith("/") ? "said command" : "said");
  }
}

/** Yields the events for a line, which arrive as JSON lines. */
async function* events(line) {
  let response;
  try {
    response = await fetch("take", {
      method: "POST", headers: { "Content-Type": "application/json", "X-Qweft-Token": TOKEN }, body: JSON.stringify({ line, settings: settings() }),
    });
    if (!response.ok) throw new Error((await response.json()).error);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const each of lines) yield JSON.parse(each);
    }
  } catch (error) {
    throw error instanceof TypeError ? new Error("the program does not answer; it may have ended: start qweft ui again") : error;
  }
}

// The circuit

function fill(select, texts) {
  select.replaceChildren(...texts.map((text, number) => Object.assign(made("option", "", text), { value: number })));
}

function voicesWithCircuits() {
  return page.voices.map((voice, number) => ({ ...voice, number })).filter(voice => voice.layers.length);
}

function chosen() {
  const voice = voicesWithCircuits()[byId("voice").value];
  return { voice: voice.number, layer: voice.layers[byId("layer").value] };
}

function query() {
  return new URLSearchParams(chosen()).toString();
}

function setUpCircuits() {
  const voices = voicesWithCircuits();
  byId("shown").hidden = !voices.length;
  byId("none").hidden = Boolean(voices.length);
  byId("none").textContent = `No circuit: ${page.voices.map(voice => voice.name).join(" and ")} ${page.voices.length > 1 ? "have" : "has"} none.`;
  if (!voices.length) return;
  fill(byId("voice"), voices.map(voice => voice.name));
  byId("voices").hidden = voices.length < 2;
  setUpLayers();
}

/** Returns the width for the circuit in pixels; a phone shows the circuit later, in full width. */
function roomForDrawing() {
  return (byId("circuit").clientWidth || document.documentElement.clientWidth) - 56;
}

function setUpLayers() {
  fill(byId("layer"), voicesWithCircuits()[byId("voice").value].layers);
  showCircuit();
}

async function showCircuit() {
  try {
    const { svg, size } = await look(`drawing?${query()}&width=${Math.round(roomForDrawing())}`);
    byId("drawing").innerHTML = svg; // safe: the server's own drawing, without model output
    byId("size").textContent = size;
  } catch (error) {
    say(error.message, "failed");
  }
  await showValues();
}

async function showValues() {
  if (byId("shown").hidden) return;
  const asked = query();
  let tokens = [];
  try {
    tokens = await look(`expectations?${asked}`);
    byId("when").textContent = tokens.length
      ? "Of the last answer, the newest token below. What was computed for the answer itself, not again for this table."
      : "They come with the first answer.";
  } catch (error) {
    byId("when").textContent = error.message;
  }
  if (asked !== query()) return; // another layer was selected in the meantime
  byId("values").hidden = byId("scale").hidden = !tokens.length;
  if (!tokens.length) return;
  const head = made("tr");
  head.append(made("th", "", "token"), ...tokens[0].expectations.map((_, qubit) => made("th", "", `⟨Z${sub(qubit)}⟩`)));
  byId("values").querySelector("thead").replaceChildren(head);
  byId("values").querySelector("tbody").replaceChildren(...tokens.map(row));
  byId("values").scrollTop = byId("values").scrollHeight;
}

function row(token) {
  const found = made("tr");
  const name = made("th", "", visible(token.text));
  name.title = `token ${token.place}`;
  found.append(name, ...token.expectations.map(value => {
    const cell = made("td", "", (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3));
    cell.style.backgroundColor = `rgb(var(--${value < 0 ? "minus" : "plus"}) / ${(Math.abs(value) * 0.5).toFixed(3)})`;
    return cell;
  }));
  return found;
}

const sub = number => [...String(number)].map(digit => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");
const visible = text => text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";

// Event handlers

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  const line = byId("line").value;
  if (page.isBusy || !line.trim()) return;
  byId("line").value = "";
  fit();
  take(line);
});
byId("line").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter may confirm a word of an input method
  event.preventDefault();
  byId("ask").requestSubmit();
});
byId("line").addEventListener("input", fit);
byId("stop").addEventListener("click", () => {
  fetch("stop", { method: "POST", headers: { "Content-Type": "application/json", "X-Qweft-Token": TOKEN } }).catch(() => {});
});
byId("anew").addEventListener("click", () => take("/reset"));
byId("system").addEventListener("change", event => {
  if (event.target.value.trim() !== page.system) take(`/system ${event.target.value.trim()}`);
});
byId("settings").querySelector("form").addEventListener("submit", event => event.preventDefault());
byId("voice").addEventListener("change", setUpLayers);
byId("layer").addEventListener("change", showCircuit);
document.addEventListener("click", event => {
  if (!byId("settings").contains(event.target)) byId("settings").open = false;
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape") byId("settings").open = false;
});
for (const button of document.querySelectorAll("[data-shows]")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.shows;
    for (const each of document.querySelectorAll("[data-shows]")) each.setAttribute("aria-pressed", each === button);
    showValues(); // a hidden list cannot be scrolled to its end
  });
}

/** Resizes the field to fit its text. */
function fit() {
  const line = byId("line");
  line.style.height = "auto";
  line.style.height = `${line.scrollHeight + 2}px`;
}

/** Waits for the end of an answer that another window, or this one before a reload, requested. */
async function begin() {
  try {
    let state = await show();
    setUpCircuits();
    if (!state.is_busy) return;
    setBusy(true);
    say("an answer is being given");
    while (state.is_busy) {
      await new Promise(done => setTimeout(done, LOOK));
      state = await look("state");
    }
    await show();
    setBusy(false);
  } catch (error) {
    say(error.message, "failed");
  }
}

byId("save").href += `?token=${TOKEN}`;
begin();
