// The operator's page. Green is only what the newest image is, of a station that is heard and ready.

import { ask } from "./asking.js";
import { offerFirst, showChanged } from "./drift.js";
import { sayTruth, showLearning } from "./learning.js";
import { blank, draw, forgetScale } from "./picture.js";
import { showScores } from "./threshold.js";

const SILENT = 6000; // milliseconds without a beat (one comes every two seconds) are an alarm
const SETTLED = 700; // for which a picture has to stand before one can say what it shows
const LOOKED = 60000; // after which an earlier image makes way for the newest
const MOST = 500; // rows of the history
const at = (id) => document.getElementById(id);
const live = at("live"), heat = at("heat"), history = at("history"), product = at("product");
let newest = null; // judgement, whatever is looked at
let current = null; // the one that is looked at
let judgements = []; // of the filter, the newest first
let filter = "all";
let older = ""; // what `before` takes for the page after
let asked = 0; // how many times the history was asked for: only the last answer counts
let came = []; // judgements since then
let heard = -Infinity; // when the station gave its last sign of life, by a clock that goes on
let upToDate = false; // whether what was missed while it was not heard is known
let health = null;
let stands = null; // since when which picture is seen
let kept = new Set();
const parts = new Map(); // what was said of the part that an image is a view of, by its judgement
const timers = {};

function showVerdict() {
  const state = verdict();
  at("verdict").className = state.of ?? "none";
  at("answer").textContent = state.word;
  at("why").textContent = state.why;
}

function verdict() {
  const silent = performance.now() - heard > SILENT;
  if (silent || !upToDate) return { word: "?", why: "the station is not heard; what it said last may not hold" };
  if (health?.paused) return { word: "PAUSED", why: "no image is judged until you go on" };
  if (!health?.ready) return { word: "?", why: "the station judges nothing" };
  if (health.unjudged) return { word: "?", why: "what came last got no judgement: treat it as NG" };
  if (!current) return { word: "–", why: "no image yet" };
  const said = whole(current);
  if (!said) return { word: "–", why: `a view of part ${current.part}, which is not judged yet` };
  const word = { OK: "✓ OK", NG: "✕ NG" }[said.answer] ?? "–";
  const good = said.images ? "all its views are OK" : `its score is below ${said.threshold?.toPrecision(4)}`;
  const why = (said.images ? `part ${said.part}: ` : "") + (said.reason || good);
  if (current !== newest) return { word: "–", why: `an earlier image, ${word}: ${why}` };
  return { of: said.answer, word, why };
}

function whole(judgement) { // what counts: what was said of its part, if it is a view of one
  return judgement.part ? parts.get(judgement.id) : judgement;
}

function keepParts(said) {
  for (const part of said) for (const id of part.views) parts.set(id, part);
  for (const id of parts.keys()) if (parts.size > 4 * MOST) parts.delete(id);
}

function show(judgement) {
  current = judgement;
  showVerdict();
  const number = (value) => (value === null ? "none" : Number(value.toPrecision(4)));
  at("name").textContent = named(judgement);
  at("facts").textContent = [
    judgement.product,
    `score ${number(judgement.score)}`,
    `threshold ${number(judgement.threshold)}`,
    judgement.p_value === null ? "" : `p ${number(judgement.p_value)}`,
    new Date(judgement.at).toLocaleTimeString(),
  ].filter(Boolean).join(" · ");
  for (const button of at("truth").querySelectorAll("button")) {
    const what = judgement.part ? "view" : "part"; // another view may show the defect
    button.textContent = `The ${what} is ${button.dataset.truth === "normal" ? "good" : "defective"}`;
  }
  at("heard").textContent = "";
  clearTimeout(timers.back);
  if (judgement !== newest) timers.back = setTimeout(showNewest, LOOKED);
  mark();
  return showPicture();
}

async function showPicture() {
  const judgement = current;
  if (stands?.id !== judgement.id) enableTruth(false);
  const drawn = await draw(judgement, heat.checked);
  if (judgement !== current) return;
  if (stands?.id !== judgement.id) stands = drawn ? { id: judgement.id, since: performance.now() } : null;
  enableTruth(drawn && judgement.score !== null && kept.has(judgement.id));
}

function enableTruth(possible) {
  for (const button of at("truth").querySelectorAll("button")) button.disabled = !possible;
}

function showNewest() {
  live.checked = true;
  if (newest) show(newest);
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
  const said = whole(judgement)?.answer;
  answer.className = said || "none";
  answer.textContent = said || "–";
  name.textContent = name.title = named(judgement);
  button.dataset.id = judgement.id;
  button.append(answer, new Date(judgement.at).toLocaleTimeString(), name);
  button.onclick = () => look(judgement);
  item.append(button);
  return item;
}

function named(judgement) {
  const { part, image, answer } = judgement;
  return part ? `${part} · ${image}${answer && `: ${answer}`}` : image;
}

function look(judgement) {
  live.checked = false;
  if (judgement.id === newest?.id) showNewest();
  else show(judgement);
}

async function load(before = "") {
  const own = ++asked;
  came = [];
  const wanted = new URLSearchParams({ limit: 100 });
  if (before) wanted.set("before", before);
  if (filter !== "all") wanted.set("answer", filter);
  const said = await ask("GET", `history?${wanted}`);
  if (own !== asked) return;
  keepParts(said.parts);
  const known = before ? judgements : came.filter(fits);
  const ids = new Set(known.map((each) => each.id));
  judgements = [...known, ...said.judgements.filter((each) => !ids.has(each.id))];
  for (const id of said.kept) kept.add(id);
  older = said.more;
  list();
}

function list() {
  history.replaceChildren(...judgements.map(line));
  at("more").hidden = !older || judgements.length >= MOST;
  mark();
}

function fits(judgement) {
  return filter === "all" || filter === judgement.answer;
}

async function loadNewest() {
  const before = newest;
  const said = await ask("GET", "history?limit=1");
  for (const id of said.kept) kept.add(id);
  keepParts(said.parts);
  if (newest === before) newest = said.judgements[0] ?? null; // else one came meanwhile
  if (live.checked && newest) show(newest);
  if (!newest) blank("no image yet");
}

function arrived(judgement) {
  kept.add(judgement.id);
  newest = judgement;
  came.unshift(judgement);
  if (fits(judgement)) {
    judgements.unshift(judgement);
    history.prepend(line(judgement));
    while (judgements.length > MOST) {
      kept.delete(judgements.pop().id);
      history.lastChild.remove();
    }
  }
  if (live.checked) show(judgement);
  else showVerdict();
  clearTimeout(timers.scores); // when no image came for a moment
  timers.scores = setTimeout(() => tryTo(showScores(product.value)), 1000);
}

async function partArrived(part) {
  keepParts([part]);
  const worst = part.views[part.images.indexOf(part.worst)] ?? part.views.at(-1);
  const view = [newest, ...came, ...judgements].find((each) => each?.id === worst);
  if (view) newest = view;
  else await loadNewest();
  list();
  if (live.checked && newest) show(newest);
  else showVerdict();
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
  health = await ask("GET", "health").catch(() => null);
  if (health) {
    at("pause").textContent = health.paused ? "Go on" : "Pause";
    at("state").textContent = health.ready ? `judges ${health.product}` : "judges nothing";
    if (product.value && health.product && health.product !== product.value) await loadProducts();
  }
  if (!health || performance.now() - heard > SILENT) at("state").textContent = "not heard";
  const alarms = health ? health.alarms : ["the station does not answer"];
  at("alarm").textContent = alarms.join(" · ");
  at("alarm").hidden = !alarms.length;
  showChanged(health?.changed ?? [], endAlarm);
  showVerdict();
}

async function tryTo(done) {
  try {
    return await done;
  } catch (error) {
    at("fault").textContent = error.message;
    clearTimeout(timers.fault);
    timers.fault = setTimeout(() => (at("fault").textContent = ""), 15000);
  }
}

function follow() {
  const events = new EventSource("events");
  const beat = () => (heard = performance.now());
  events.onopen = () => tryTo(catchUp(beat));
  events.addEventListener("beat", beat);
  events.addEventListener("judgement", (event) => {
    beat();
    arrived(JSON.parse(event.data));
  });
  events.addEventListener("part", (event) => {
    beat();
    tryTo(partArrived(JSON.parse(event.data)));
  });
  events.onerror = () => {
    upToDate = false;
    showVerdict();
    if (events.readyState === EventSource.CLOSED) timers.open = setTimeout(() => tryTo(open()), 2000);
  };
}

async function catchUp(beat) {
  await loadNewest();
  await lookAtHealth();
  beat();
  upToDate = true;
  showVerdict();
  await load();
}

async function open() {
  try {
    await loadProducts(); // asks for the token, if there is one
    follow();
  } catch (error) {
    timers.open = setTimeout(() => tryTo(open()), 2000);
    throw error;
  }
}

async function say(truth) {
  const judgement = current;
  if (!judgement || stands?.id !== judgement.id || at("truth").querySelector("button").disabled) return;
  if (performance.now() - stands.since < SETTLED) {
    at("heard").textContent = "the picture has just changed: look again";
    return;
  }
  at("heard").textContent = "…";
  try {
    await sayTruth(judgement, truth);
    at("heard").textContent = `noted: ${judgement.image} is ${truth === "normal" ? "good" : "defective"}`;
  } catch (error) {
    at("heard").textContent = "not noted";
    throw error;
  }
  await showScores(product.value);
}

function step(by) {
  const place = judgements.findIndex((each) => each.id === current?.id) + by;
  if (judgements[place]) look(judgements[place]);
}

function endAlarm(asked) {
  tryTo(asked.then(lookAtHealth));
}

async function pause() {
  await ask("PUT", "paused", { paused: !health?.paused });
  await lookAtHealth();
}

const KEYS = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Home: showNewest,
  g: () => tryTo(say("normal")),
  d: () => tryTo(say("anomalous")),
  h: () => heat.click(),
  p: () => tryTo(pause()),
  a: offerFirst,
  "?": () => at("help").showModal(),
};
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=range], input[type=password], select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
heat.onchange = () => current && showPicture();
live.onchange = () => live.checked && showNewest();
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
  newest = current = null; // what was said of the former product is not said of this one
  blank("no image yet");
  showVerdict();
  await tryTo(ask("PUT", `products/${encodeURIComponent(product.value)}`, { chosen: true }));
  await tryTo(loadProducts());
};
addEventListener("products", () => tryTo(loadProducts()));
setInterval(showVerdict, 1000);
setInterval(() => tryTo(lookAtHealth()), 2000);
tryTo(open());
