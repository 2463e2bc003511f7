// The histogram of scores, and what another threshold would do to known good and bad images.

import { ask } from "./asking.js";

const BINS = 40;
const [svg, slider, expected, apply, reset, applied] = [
  "scores", "slider", "expected", "apply", "reset", "applied",
].map((id) => document.getElementById(id));
let found = null; // the scores of the chosen product, as the station has them
let low = 0, high = 1;

export async function showScores(product) {
  if (!product) return;
  const said = await ask("GET", `products/${encodeURIComponent(product)}/scores`);
  const moved = found?.product === product && !apply.disabled; // someone is at the slider
  found = said;
  const all = [...said.good, ...said.bad, ...said.open, said.threshold].filter((s) => s !== null);
  [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  [low, high] = [low - margin, high + margin];
  if (!moved) place(said.threshold);
  tell();
}

function place(threshold) {
  slider.value = threshold === null ? 1000 : (1000 * (threshold - low)) / (high - low);
  apply.disabled = reset.disabled = true;
}

function chosen() {
  if (apply.disabled && found.threshold !== null) return found.threshold;
  return Number((low + (slider.value / 1000) * (high - low)).toPrecision(6));
}

function tell() {
  const limit = chosen();
  const alarms = found.good.filter((score) => score >= limit).length;
  const misses = found.bad.filter((score) => score < limit).length;
  expected.replaceChildren(
    `From ${limit.toPrecision(4)} on an image is NG. `,
    of(alarms, found.good.length, "good", "would be a false alarm"), " ",
    of(misses, found.bad.length, "defective", "would be missed"),
  );
  drawHistogram(limit);
}

function of(count, all, kind, what) {
  if (!all) return `No ${kind} image is known yet.`;
  const [least, most] = wilson(count, all).map((share) => Math.round(100 * share));
  return `Of ${all} known ${kind} images ${count} ${what} (${least} to ${most} %).`;
}

// Wilson, 1927: the score interval of a share, for 95 %.
function wilson(count, all) {
  const z = 1.96, share = count / all, scale = 1 + (z * z) / all;
  const middle = (share + (z * z) / (2 * all)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / all + (z * z) / (4 * all * all));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function drawHistogram(limit) {
  const bin = (score) => Math.min(BINS - 1, Math.floor((BINS * (score - low)) / (high - low)));
  const counts = Array.from({ length: BINS }, () => ({ good: 0, bad: 0, open: 0 }));
  for (const kind of ["good", "bad", "open"]) found[kind].forEach((s) => counts[bin(s)][kind]++);
  const most = Math.max(1, ...counts.map((each) => each.good + each.bad + each.open));
  svg.replaceChildren();
  counts.forEach((each, number) => {
    let top = 120;
    for (const kind of ["good", "open", "bad"]) {
      const height = (110 * each[kind]) / most;
      top -= height;
      const [x, width] = [(number * 400) / BINS, 400 / BINS - 1];
      if (height) add("rect", { x, y: top, width, height, class: kind });
    }
  });
  const x = (400 * (limit - low)) / (high - low);
  add("line", { x1: x, x2: x, y1: 0, y2: 120 });
}

function add(name, attributes) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  svg.append(shape);
}

slider.oninput = () => {
  if (!found) return;
  apply.disabled = reset.disabled = false;
  applied.textContent = "";
  tell();
};
reset.onclick = () => {
  place(found.threshold);
  tell();
};
apply.onclick = async () => {
  const threshold = chosen();
  try {
    await ask("PUT", `products/${encodeURIComponent(found.product)}`, { threshold });
    apply.disabled = reset.disabled = true;
    applied.textContent = "It holds for the images that come now.";
    await showScores(found.product);
  } catch (error) {
    applied.textContent = error.message;
  }
};
