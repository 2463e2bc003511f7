// The operator's page. Nothing is shown as OK but a judgement that says OK, of a station that is heard.

import { ask } from "./asking.js";
import { sayTruth, showLearning } from "./learning.js";
import { blank, draw, forgetScale } from "./picture.js";
import { showScores } from "./threshold.js";

const SILENT = 6000; // milliseconds without a beat (one comes every two seconds) are an alarm
const MOST = 500; // rows of the history
const at = (id) => document.getElementById(id);
const live = at("live"), heat = at("heat"), history = at("history"), product = at("product");
let judgements = []; // the newest first, those that the filter shows
let current = null;
let filter = "all";
let older = ""; // what `before` takes for the page after
let heard = 0;
let paused = false;
let kept = new Set();
let stale = null; // a timer: scores are asked for again when no image came for a moment

function showVerdict() {
  const silent = Date.now() - heard > SILENT;
  const answer = silent || paused || !current ? "none" : current.answer || "none";
  at("verdict").className = answer;
  at("answer").textContent = silent ? "?" : paused ? "PAUSED" : { OK: "✓ OK", NG: "✕ NG" }[answer] ?? "–";
  at("why").textContent = silent ? "the station is not heard: what it said last may not hold"
    : paused ? "no image is judged until you go on"
    : current ? current.reason || `its score is below ${current.threshold.toPrecision(4)}`
    : "no image yet";
}

function show(judgement) {
  current = judgement;
  showVerdict();
  const number = (value) => (value === null ? "none" : Number(value.toPrecision(4)));
  at("name").textContent = judgement.image;
  at("facts").textContent = [
    judgement.product,
    `score ${number(judgement.score)}`,
    `threshold ${number(judgement.threshold)}`,
    judgement.p_value === null ? "" : `p ${number(judgement.p_value)}`,
    new Date(judgement.at).toLocaleTimeString(),
  ].filter(Boolean).join(" · ");
  at("heard").textContent = "";
  for (const button of at("truth").querySelectorAll("button")) {
    button.disabled = judgement.score === null || !kept.has(judgement.id);
  }
  draw(judgement, heat.checked);
  mark();
}

function mark() {
  for (const button of history.querySelectorAll("button")) {
    const chosen = button.dataset.id === current?.id;
    button.setAttribute("aria-current", chosen);
    if (chosen) button.scrollIntoView({ block: "nearest" });
  }
}

function line(judgement) {
  const item = document.createElement("li"), button = document.createElement("button");
  const answer = document.createElement("b"), name = document.createElement("span");
  answer.className = judgement.answer || "none";
  answer.textContent = judgement.answer || "–";
  name.textContent = name.title = judgement.image;
  button.dataset.id = judgement.id;
  button.append(answer, new Date(judgement.at).toLocaleTimeString(), name);
  button.onclick = () => choose(judgement);
  item.append(button);
  return item;
}

function choose(judgement) {
  live.checked = judgement === judgements[0] && live.checked;
  show(judgement);
}

async function load(before = "") {
  const asked = new URLSearchParams({ limit: 100 });
  if (before) asked.set("before", before);
  if (filter !== "all") asked.set("answer", filter);
  const said = await ask("GET", `history?${asked}`);
  judgements = before ? [...judgements, ...said.judgements] : said.judgements;
  kept = new Set([...(before ? kept : []), ...said.kept]);
  older = said.more;
  history.replaceChildren(...judgements.map(line));
  at("more").hidden = !older || judgements.length >= MOST;
  if (live.checked && judgements.length) show(judgements[0]);
  else if (!current) blank("no image yet");
  mark();
}

function arrived(judgement) {
  kept.add(judgement.id);
  if (filter === "all" || filter === judgement.answer) {
    judgements.unshift(judgement);
    history.prepend(line(judgement));
    while (judgements.length > MOST) {
      judgements.pop();
      history.lastChild.remove();
    }
  }
  if (live.checked) show(judgement);
  clearTimeout(stale);
  stale = setTimeout(() => tryTo(showScores(product.value)), 1000);
}

async function loadProducts() {
  const said = await ask("GET", "products");
  const names = said.products.map((each) => {
    const text = each.judges ? each.name : `${each.name} (no threshold)`;
    return new Option(text, each.name, false, each.name === said.chosen);
  });
  product.replaceChildren(...names);
  await showScores(said.chosen);
  await showLearning(said.chosen);
}

async function lookAtHealth() {
  const health = await ask("GET", "health").catch(() => null);
  if (health) {
    paused = health.paused;
    at("pause").textContent = paused ? "Go on" : "Pause";
    at("state").textContent = health.ready ? `judges ${health.product}` : "judges nothing";
  }
  if (!health || Date.now() - heard > SILENT) at("state").textContent = "not heard";
  const alarms = health ? health.alarms : ["the station does not answer"];
  at("alarm").textContent = alarms.join(" · ");
  at("alarm").hidden = !alarms.length;
  showVerdict();
}

async function tryTo(done) {
  try {
    await done;
  } catch (error) {
    at("alarm").textContent = error.message;
    at("alarm").hidden = false;
  }
}

function follow() {
  const events = new EventSource("events");
  const beat = () => (heard = Date.now());
  events.onopen = () => {
    beat();
    tryTo(load()); // what was missed
    tryTo(lookAtHealth());
  };
  events.addEventListener("beat", beat);
  events.addEventListener("judgement", (event) => {
    beat();
    arrived(JSON.parse(event.data));
  });
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => tryTo(open()), 2000);
  };
}

async function open() {
  try {
    await loadProducts(); // asks for the token, if there is one
    follow();
  } catch (error) {
    setTimeout(() => tryTo(open()), 2000);
    throw error;
  }
}

async function say(truth) {
  if (!current || at("truth").querySelector("button").disabled) return;
  at("heard").textContent = "…";
  await sayTruth(current, truth);
  at("heard").textContent = truth === "normal" ? "noted: good" : "noted: defective";
  await showScores(product.value);
}

function step(by) {
  const place = judgements.findIndex((each) => each.id === current?.id) + by;
  if (!judgements[place]) return;
  live.checked = false;
  show(judgements[place]);
}

async function pause() {
  await ask("PUT", "paused", { paused: !paused });
  await lookAtHealth();
}

const KEYS = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Home: () => { live.checked = true; if (judgements[0]) show(judgements[0]); },
  g: () => tryTo(say("normal")),
  d: () => tryTo(say("anomalous")),
  h: () => heat.click(),
  p: () => tryTo(pause()),
  "?": () => at("help").showModal(),
};
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=range], input[type=password], select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
heat.onchange = () => current && show(current);
live.onchange = () => live.checked && judgements[0] && show(judgements[0]);
at("keys").onclick = KEYS["?"];
at("pause").onclick = KEYS.p;
at("more").onclick = () => tryTo(load(older));
for (const button of at("truth").querySelectorAll("button")) {
  button.onclick = () => tryTo(say(button.dataset.truth));
}
for (const button of at("filter").children) {
  button.onclick = () => {
    filter = button.dataset.show;
    for (const each of at("filter").children) each.setAttribute("aria-pressed", each === button);
    tryTo(load());
  };
}
product.onchange = async () => {
  forgetScale();
  await tryTo(ask("PUT", `products/${encodeURIComponent(product.value)}`, { chosen: true }));
  await tryTo(loadProducts());
};
addEventListener("products", () => tryTo(loadProducts()));
setInterval(() => tryTo(lookAtHealth()), 2000);
tryTo(open());
