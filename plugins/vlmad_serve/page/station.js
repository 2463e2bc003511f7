// The operator's page. What is green is said in one place: `verdict`.

import { ask } from "./asking.js";
import { offerFirst, showChanged } from "./drift.js";
import { follow, heard, listenAgain } from "./hearing.js";
import { known, named, remember, whenOf, whole } from "./judgements.js";
import { sayTruth, showLearning } from "./learning.js";
import { blank, draw, forgetScale } from "./picture.js";
import { showScores } from "./threshold.js";

const SETTLED = 700; // milliseconds for which a picture has to stand before one can say what it shows
const LATE = 3; // seconds after which an image that is not judged is more than the model's own time
const LOOKED = 60000; // after which an earlier image makes way for the newest
const MOST = 500; // rows of the history
const at = (id) => document.getElementById(id);
const live = at("live"), heat = at("heat"), history = at("history"), product = at("product");
let current = null; // the judgement that is looked at
let judgements = []; // of the filter, the newest first
let filter = "all";
let older = ""; // what `before` takes for the page after
let asked = 0; // how many times the history was asked for: only the last answer counts
let came = []; // judgements since then
let behind = true; // whether the history lacks what came while the station was not heard
let seeking = false; // whether the newest judgement is asked for, as it was not told
let stands = null; // since when which picture is seen
let changing = null; // the products being loaded
const timers = {};

function showVerdict() {
  const state = verdict();
  at("verdict").className = state.of ?? "none";
  at("answer").textContent = state.word;
  at("why").textContent = state.why;
}

// Only what the station, heard just now and ready, says of its newest image is an answer.
function verdict() {
  const health = heard();
  if (!health || document.hidden) return { word: "?", why: "the station is not heard; what it said last may not hold" };
  if (health.paused) return { word: "PAUSED", why: "no image is judged until you go on" };
  if (!health.ready) return { word: "?", why: "the station judges nothing" };
  if (health.unjudged) return { word: "?", why: "what came last got no judgement: treat it as NG" };
  if (health.waits > LATE) return { word: "?", why: "a newer image waits for its judgement" };
  if (!current) return { word: "–", why: "no image yet" };
  const said = whole(current);
  if (!said) return { word: "–", why: `a view of part ${current.part}, which is not judged yet` };
  const word = { OK: "✓ OK", NG: "✕ NG" }[said.answer] ?? "–";
  const good = !said.images ? `its score is below ${said.threshold?.toPrecision(4)}`
    : said.p_value === null ? "all its views are OK" : `its p-value is ${said.p_value.toPrecision(3)}`;
  const why = (said.images ? `part ${said.part}: ` : "") + (said.reason || good);
  if (current.id !== health.newest) return { word: "–", why: `an earlier image, ${word}: ${why}` };
  return { of: said.answer, word, why };
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
    whenOf(judgement),
  ].filter(Boolean).join(" · ");
  for (const button of at("truth").querySelectorAll("button")) {
    const what = judgement.part ? "view" : "part"; // another view may show the defect
    button.textContent = `The ${what} is ${button.dataset.truth === "normal" ? "good" : "defective"}`;
  }
  at("heard").textContent = "";
  clearTimeout(timers.back);
  if (!live.checked) timers.back = setTimeout(showNewest, LOOKED);
  mark();
  return showPicture();
}

async function showPicture() {
  const judgement = current;
  if (stands?.id !== judgement.id) enableTruth(false);
  const drawn = await draw(judgement, heat.checked);
  if (judgement !== current) return;
  if (stands?.id !== judgement.id) stands = drawn ? { id: judgement.id, since: performance.now() } : null;
  enableTruth(drawn && judgement.score !== null);
}

function enableTruth(possible) {
  for (const button of at("truth").querySelectorAll("button")) button.disabled = !possible;
}

function showNewest() {
  live.checked = true;
  const id = heard()?.newest;
  if (id && !known.has(id)) tryTo(seek());
  const shown = known.get(id) ?? current ?? judgements[0];
  if (shown && shown.id !== current?.id) show(shown);
  else showVerdict();
}

async function seek() { // what was told while this page was too far behind to hear it
  if (seeking) return;
  seeking = true;
  const said = await ask("GET", "history?limit=100").finally(() => (seeking = false));
  remember(said.judgements, said.parts);
  if (live.checked && known.has(heard()?.newest)) showNewest();
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
  button.append(answer, whenOf(judgement), name);
  button.onclick = () => look(judgement);
  item.append(button);
  return item;
}

function look(judgement) {
  live.checked = false;
  if (judgement.id === heard()?.newest) showNewest();
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
  remember(said.judgements, said.parts);
  const first = before ? judgements : came.filter(fits);
  const ids = new Set(first.map((each) => each.id));
  judgements = [...first, ...said.judgements.filter((each) => !ids.has(each.id))];
  older = said.more;
  list();
  if (live.checked) showNewest();
}

function list() {
  history.replaceChildren(...judgements.map(line));
  at("more").hidden = !older || judgements.length >= MOST;
  mark();
}

function fits(judgement) {
  return filter === "all" || filter === (judgement.part ? whole(judgement)?.answer ?? "NG" : judgement.answer);
}

function arrived(judgement) {
  remember([judgement], []);
  came.unshift(judgement);
  came.length = Math.min(came.length, MOST);
  if (fits(judgement)) {
    judgements.unshift(judgement);
    history.prepend(line(judgement));
    while (judgements.length > MOST) {
      judgements.pop();
      history.lastChild.remove();
    }
  }
  timers.scores ??= setTimeout(() => {
    timers.scores = null;
    tryTo(showScores(product.value));
  }, 1000);
}

async function loadProducts() {
  const said = await ask("GET", "products");
  const names = said.products.map((each) => {
    const text = each.judges ? each.name : `${each.name} (no threshold)`;
    return new Option(text, each.name, false, each.name === said.chosen);
  });
  if (said.chosen !== product.value) forgetScale();
  product.replaceChildren(...names);
  await showScores(said.chosen);
  await showLearning(said.chosen);
}

function showHealth() {
  const health = heard();
  at("state").textContent = !health ? "not heard" : health.ready ? `judges ${health.product}` : "judges nothing";
  if (health) at("pause").textContent = health.paused ? "Go on" : "Pause";
  const alarms = health ? health.alarms : ["the station is not heard"];
  at("alarm").textContent = alarms.join(" · ");
  at("alarm").hidden = !alarms.length;
  showChanged(health?.changed ?? [], tryTo);
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

const TOLD = {
  opened: () => (behind = true),
  judgement: arrived,
  part: (part) => {
    remember([], [part]);
    if (filter === "all") list();
    else tryTo(load());
  },
  beat: () => {
    const health = heard();
    if (health && health.product !== product.value) changing ??= tryTo(loadProducts()).finally(() => (changing = null));
    if (behind) tryTo(catchUp());
    if (live.checked) showNewest();
    showHealth();
  },
  lost: showVerdict,
  refused: () => (timers.open = setTimeout(() => tryTo(open()), 2000)),
};

async function catchUp() {
  behind = false;
  try {
    await load();
  } catch (error) {
    behind = true; // with the next beat again
    throw error;
  }
}

async function open() {
  try {
    await loadProducts(); // asks for the token, if there is one
    follow(TOLD);
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

async function pause() {
  await ask("PUT", "paused", { paused: !heard()?.paused });
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
  await tryTo(ask("PUT", `products/${encodeURIComponent(product.value)}`, { chosen: true }));
  await tryTo(loadProducts());
};
addEventListener("products", () => tryTo(loadProducts()));
addEventListener("visibilitychange", showHealth); // what is seen first when it is looked at again
const withoutImage = () => blank("no image yet");
withoutImage();
matchMedia("(prefers-color-scheme: dark)").onchange = () => (current ? showPicture() : withoutImage());
setInterval(() => {
  listenAgain(TOLD);
  showHealth();
}, 1000);
tryTo(open());
