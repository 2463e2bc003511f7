// The histogram of scores, and what another threshold would do to known good and bad images.

import { ask } from "./asking.js";

const BINS = 40;
const [svg, slider, expected, apply, reset, applied] = [
  "scores", "slider", "expected", "apply", "reset", "applied",
].map((id) => document.getElementById(id));
let found = null; // the scores of the chosen product, as the station has them
let limit = null; // what the line stands at, whatever the range of the slider becomes
let low = 0, high = 1;

export async function showScores(product) {
  if (!product) return;
  const said = await ask("GET", `products/${encodeURIComponent(product)}/scores`);
  const moved = found?.product === product && !apply.disabled; // someone is at the slider
  found = said;
  if (!moved) leave();
  const all = [...said.good, ...said.bad, ...said.open, limit].filter((s) => s !== null);
  [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  [low, high] = [low - margin, high + margin];
  slider.disabled = said.adjustable === false; // each of several products has its own
  slider.value = limit === null ? 1000 : (1000 * (limit - low)) / (high - low);
  tell();
}

function leave() {
  limit = found.threshold;
  apply.disabled = reset.disabled = true;
}

function tell() {
  drawHistogram();
  if (limit === null) {
    const own = "Each product of this file has a threshold of its own.";
    const none = "There is no threshold, so nothing is called OK or NG. Move the slider to choose one.";
    expected.textContent = slider.disabled ? own : none;
    return;
  }
  const alarms = found.good.filter((score) => score >= limit).length;
  const misses = found.bad.filter((score) => score < limit).length;
  expected.replaceChildren(
    `From ${limit.toPrecision(4)} on an image is NG. `,
    of(alarms, found.good.length, "good", "would be a false alarm"), " ",
    of(misses, found.bad.length, "defective", "would be missed"),
    " The known ones had a say in the threshold: expect more of new ones.",
  );
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

function drawHistogram() {
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
  if (limit !== null) add("line", { x1: x, x2: x, y1: 0, y2: 120 });
}

function add(name, attributes) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  svg.append(shape);
}

slider.oninput = () => {
  if (!found) return;
  limit = Number((low + (slider.value / 1000) * (high - low)).toPrecision(6));
  apply.disabled = reset.disabled = false;
  applied.textContent = "";
  tell();
};
reset.onclick = () => {
  leave();
  showScores(found.product);
};
apply.onclick = async () => {
  try {
    const path = `products/${encodeURIComponent(found.product)}`;
    await ask("PUT", path, { threshold: limit });
    apply.disabled = reset.disabled = true;
    applied.textContent = "It holds for the images that come now.";
    await showScores(found.product);
  } catch (error) {
    applied.textContent = error.message;
  }
};
