// The page of `qweft ui`. Model output is inserted as text, never as markup.
"use strict";

const byId = id => document.getElementById(id);
const TOKEN = new URLSearchParams(location.search).get("token") ?? "";
const LOOK = 350; // milliseconds between two updates of the values during an answer
const ENDED = "the program does not answer; it may have ended: start qweft ui again";

/** What the program says of itself, and the conversation, which a reload of the window keeps. */
const page = { voices: [], context: null, system: "", asked: 0, turns: [], stop: null };

/** Returns an element with a class and text. */
function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Asks the program; an error of it is an exception with its sentence. */
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "Authorization": `Bearer ${TOKEN}`, "Content-Type": "application/json" } });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(ENDED);
  }
  if (response.ok) return response;
  const text = await response.text();
  let detail = text;
  try { detail = JSON.parse(text).detail; } catch { /* an error of the protocol is plain text */ }
  throw Object.assign(new Error(typeof detail === "string" ? detail : JSON.stringify(detail)), { status: response.status });
}

const look = async path => (await ask(path)).json();

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
  keys.append(made("kbd", "", "Enter"), " asks, ", made("kbd", "", "Shift"), " ", made("kbd", "", "Enter"), " begins a line.");
  hint.append(keys);
  byId("turns").append(hint);
}

/** Shows the conversation. */
function show() {
  byId("turns").replaceChildren();
  for (const { question, answers } of page.turns) {
    addTurn(question).forEach((part, number) => { part.text.textContent = answers[number]; });
  }
  if (!page.turns.length) addHint();
  byId("turns").scrollTop = byId("turns").scrollHeight;
  byId("system").value = page.system;
}

function keep() {
  const { system, asked, turns } = page;
  sessionStorage.setItem(TOKEN, JSON.stringify({ system, asked, turns }));
}

function forget(system) {
  const forgotten = page.turns.length;
  const isNew = system !== page.system;
  Object.assign(page, { system, turns: [] });
  page.voices.forEach(voice => { voice.from = 0; });
  keep();
  show();
  if (isNew) say((system ? `system message: ${system}` : "no system message") + (forgotten ? "; a new conversation begins" : ""));
}

/** Returns the settings of a request; what is left empty is the program's to choose. */
function settings() {
  const fields = [...document.querySelectorAll("[data-setting]")];
  const given = Object.fromEntries(fields.map(field => [field.dataset.setting, field.value === "" ? null : Number(field.value)]));
  return { ...given, seed: (given.seed ?? 0) + page.asked };
}

function setBusy(stop) {
  page.stop = stop;
  byId("send").hidden = Boolean(stop);
  byId("stop").hidden = !stop;
  byId("anew").disabled = byId("system").disabled = Boolean(stop);
}

/** Returns the conversation as a voice sees it: each remembers its own answers. */
function messages(number, from = 0) {
  const turns = page.turns.slice(from).flatMap(({ question, answers }) =>
    [{ role: "user", content: question }, { role: "assistant", content: answers[number] }]);
  return page.system ? [{ role: "system", content: page.system }, ...turns] : turns;
}

/** Asks all voices a question, one after the other. */
async function take(question) {
  const stop = new AbortController();
  setBusy(stop);
  let parts = [];
  growing(() => { parts = addTurn(question); byId("turns").scrollTop = byId("turns").scrollHeight; });
  const looking = setInterval(showValues, LOOK);
  const answers = page.voices.map(() => "");
  const sent = settings();
  page.asked += 1;
  try {
    for (const [number, part] of parts.entries()) {
      part.answer.classList.add("given");
      await answered(number, question, sent, stop.signal, text => {
        answers[number] += text;
        growing(() => { part.text.textContent += text; });
      }, note => growing(() => { part.note.textContent = note; }));
      part.answer.classList.remove("given");
    }
  } catch (error) {
    say(error.message, "failed");
  }
  clearInterval(looking);
  parts.forEach(part => part.answer.classList.remove("given"));
  if (answers.some(answer => answer.trim())) page.turns.push({ question, answers: answers.map(answer => answer.trim()) });
  keep();
  setBusy(null);
  showValues();
}

/** Streams the answer of a voice. */
async function answered(number, question, sent, signal, add, note) {
  const voice = page.voices[number];
  const began = performance.now();
  let usage, reason;
  try {
    const response = await opened(voice, number, question, sent, signal);
    for await (const chunk of chunks(response)) {
      if (chunk.error) throw new Error(chunk.error);
      const [choice] = chunk.choices;
      const text = choice.delta.content ?? "";
      if (text) add(text);
      reason = choice.finish_reason ?? reason;
      usage = chunk.usage ?? usage;
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    note("stopped");
    return;
  }
  const tokens = usage?.completion_tokens ?? 0;
  const speed = (tokens / Math.max(performance.now() - began, 1) * 1000).toFixed(1);
  note(`${tokens} token${tokens === 1 ? "" : "s"}, ${speed} a second${reason === "length" ? "; cut: longer than the longest answer, or than the model reads" : ""}`);
  // leaves room for the next answer, but at most half of what the model reads
  const room = page.context - Math.min(sent.max_tokens ?? page.context, page.context / 2);
  if (page.context && usage?.total_tokens > room && voice.from < page.turns.length) voice.from += 1;
}

/** Sends a question; without the oldest turns where the model does not take so many tokens. */
async function opened(voice, number, question, sent, signal) {
  for (;;) {
    const all = [...messages(number, voice.from), { role: "user", content: question }];
    const left = voice.from;
    try {
      const body = JSON.stringify({ model: voice.name, messages: all, stream: true, ...sent });
      const response = await ask("v1/chat/completions", { method: "POST", body, signal });
      if (left) say(`${voice.name} was not shown everything: the oldest ${left === 1 ? "turn was" : `${left} turns were`} left out, for room`);
      return response;
    } catch (error) {
      if (error.status !== 413 || left >= page.turns.length) throw error;
      voice.from += 1;
    }
  }
}

/** Yields the chunks of a streamed answer. */
async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error(ENDED);
    }
    if (part.done) return;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const text = line.startsWith("data: ") ? line.slice(6) : "";
      if (text.startsWith("{")) yield parsed(text);
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch { // an error's text is not written as JSON
    return { error: text };
  }
}

/** Returns the conversation as rows that training reads, one for each voice, without the turns it did not answer. */
function rows() {
  return page.voices.map((voice, number) => {
    const said = page.turns.filter(turn => turn.answers[number]).flatMap(turn => {
      const answer = turn.answers[number];
      const isOpen = answer.includes("</think>") && !answer.includes("<think>"); // the prompt opened the thought
      return [{ role: "user", content: turn.question }, { role: "assistant", content: isOpen ? `<think>\n${answer}` : answer }];
    });
    const system = page.system ? [{ role: "system", content: page.system }] : [];
    return said.length ? JSON.stringify({ messages: [...system, ...said], answered_by: voice.name }) + "\n" : "";
  }).join("");
}

// The circuit

function fill(select, texts) {
  select.replaceChildren(...texts.map((text, number) => Object.assign(made("option", "", text), { value: number })));
}

function voicesWithCircuits() {
  return page.voices.filter(voice => voice.layers.length);
}

function chosen() {
  const voice = voicesWithCircuits()[byId("voice").value];
  return { model: voice.name, layer: voice.layers[byId("layer").value] };
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
    const { picture, size } = await look(`page/drawing?${query()}&width=${Math.round(roomForDrawing())}`);
    byId("drawing").replaceChildren(Object.assign(made("img"), { src: picture, alt: `Circuit of ${size}` }));
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
    tokens = await look(`page/expectations?${asked}`);
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
  const line = made("tr");
  const name = made("th", "", visible(token.text));
  name.title = `token ${token.place}`;
  line.append(name, ...token.expectations.map(value => {
    const cell = made("td", "", (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3));
    cell.style.backgroundColor = `rgb(var(--${value < 0 ? "minus" : "plus"}) / ${(Math.abs(value) * 0.5).toFixed(3)})`;
    return cell;
  }));
  return line;
}

const sub = number => [...String(number)].map(digit => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");
const visible = text => text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";

// Event handlers

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  const question = byId("line").value.trim();
  if (page.stop || !question) return;
  byId("line").value = "";
  fit();
  take(question);
});
byId("line").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter may confirm a word of an input method
  event.preventDefault();
  byId("ask").requestSubmit();
});
byId("line").addEventListener("input", fit);
byId("stop").addEventListener("click", () => page.stop?.abort());
byId("anew").addEventListener("click", () => forget(page.system));
byId("system").addEventListener("change", event => {
  if (event.target.value.trim() !== page.system) forget(event.target.value.trim());
});
byId("save").addEventListener("click", () => {
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([rows()], { type: "application/jsonl" }));
  link.download = "conversation.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
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

async function begin() {
  try {
    const state = await look("page/state");
    const kept = JSON.parse(sessionStorage.getItem(TOKEN) ?? "{}");
    Object.assign(page, { voices: state.voices, context: state.context, system: state.system ?? "", ...kept });
    page.voices.forEach(voice => { voice.from = 0; });
    const names = page.voices.map(voice => voice.name).join(" beside ");
    document.title = `${names} · qweft`;
    byId("names").textContent = names;
    byId("origin").textContent = state.origin;
    for (const field of document.querySelectorAll("[data-setting]")) {
      if (field.value === "") field.value = state.settings[field.dataset.setting];
    }
    show();
    setUpCircuits();
  } catch (error) {
    say(error.message, "failed");
  }
}

begin();
