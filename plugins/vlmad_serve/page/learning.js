// What a person said of images, what it would gain on images held out, and adopting that.

import { ask } from "./asking.js";

const [said, trying, adopt, progress, gain] = ["said", "try", "adopt", "progress", "gain"].map(
  (id) => document.getElementById(id),
);
let product = "";
let waiting = null;

export async function showLearning(name) {
  product = name;
  clearTimeout(waiting);
  if (name) show(await ask("GET", path()));
}

export async function sayTruth(judgement, truth) {
  await ask("POST", `judgements/${judgement.id}/truth`, { truth });
  await showLearning(product);
}

function lookAgain() {
  waiting = setTimeout(() => showLearning(product).catch(lookAgain), 1000);
}

function path() {
  return `products/${encodeURIComponent(product)}/review`;
}

function show(review) {
  said.textContent =
    `Images that you called good: ${review.normal}, defective: ${review.anomalous}. ` +
    "Three of each let a gain be measured, on images that were not learned from.";
  trying.disabled = review.state === "running" || review.normal + review.anomalous === 0;
  progress.textContent = { running: "trying …", failed: review.reason }[review.state] ?? "";
  adopt.hidden = !review.adoptable;
  gain.replaceChildren(...(review.review ? told(review.review) : []));
  if (review.state === "running") lookAgain();
}

function told(review) {
  const lessons = [review.references, review.from_misses, review.threshold].filter(Boolean);
  const lines = lessons.map(({ what, adopted, why }) =>
    made("li", `${what}: ${adopted ? "worth it" : "left"}, ${why}`),
  );
  const list = made("ul", "");
  list.append(...lines);
  if (review.not_measured) return [made("p", review.not_measured), list];
  const table = made("table", "");
  table.append(row("th", ["", "image AUROC", "false alarms", "misses"]));
  for (const [name, { auroc, false_alarms, misses }] of Object.entries(review.figures)) {
    const interval = [auroc.low, auroc.high].map((each) => each.toFixed(3)).join(" to ");
    const cells = [name, `${auroc.value.toFixed(3)} (${interval})`, false_alarms, misses];
    table.append(row("td", cells));
  }
  return [table, list];
}

function row(kind, cells) {
  const line = made("tr", "");
  line.append(...cells.map((cell) => made(kind, cell)));
  return line;
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

async function act(method, where) {
  try {
    show(await ask(method, where));
  } catch (error) {
    progress.textContent = error.message;
  }
}

trying.onclick = () => act("POST", path());
adopt.onclick = async () => {
  await act("POST", `${path()}/adopt`);
  dispatchEvent(new Event("products"));
};
