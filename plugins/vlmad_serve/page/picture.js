// The image of a judgement with its heat map over it, all on one colour scale.

import { send } from "./asking.js";

const canvas = document.getElementById("picture");
const scale = { low: Infinity, high: -Infinity }; // of all maps that were seen of a product
let wanted = ""; // what the canvas is to show, so that an older answer does not replace it

export function forgetScale() {
  scale.low = Infinity;
  scale.high = -Infinity;
}

// Return whether the canvas shows that image now; until then it shows none.
export async function draw(judgement, withHeat) {
  const own = `${judgement.id} ${withHeat}`;
  if (!wanted.startsWith(judgement.id)) blank("");
  wanted = own;
  const words = `${judgement.image}, ${judgement.answer || "not judged"}`;
  let image, size, heat;
  try {
    [image, size] = await photograph(judgement.id);
    heat = image && withHeat ? await heatMap(judgement.id) : null;
  } catch {
    image = null; // damaged on its way
  }
  if (wanted !== own) return false;
  if (!image) return blank(`${words}: there is no picture of it`);
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (heat) context.drawImage(heat, 0, 0, image.width, image.height);
  if (heat && judgement.answer === "NG") outline(context, judgement.regions, image, size);
  canvas.setAttribute("aria-label", words);
  return true;
}

export function blank(words) {
  wanted = "";
  canvas.width = 480;
  canvas.height = 320;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).color;
  context.font = "18px system-ui, sans-serif";
  context.fillText(words, 16, 40, 448);
  canvas.setAttribute("aria-label", words);
  return false;
}

async function photograph(id) {
  const response = await send("GET", `images/${id}.jpg`).catch(() => null);
  if (!response?.ok) return [null, []];
  const size = ["X-Image-Width", "X-Image-Height"].map((name) => response.headers.get(name));
  return [await createImageBitmap(await response.blob()), size];
}

async function heatMap(id) {
  const response = await send("GET", `maps/${id}.png`).catch(() => null);
  if (!response?.ok) return null;
  const [low, high] = ["X-Map-Low", "X-Map-High"].map((name) => Number(response.headers.get(name)));
  const grey = await createImageBitmap(await response.blob());
  scale.low = Math.min(scale.low, low);
  scale.high = Math.max(scale.high, high);
  const sheet = new OffscreenCanvas(grey.width, grey.height);
  const context = sheet.getContext("2d");
  context.drawImage(grey, 0, 0);
  const pixels = context.getImageData(0, 0, grey.width, grey.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const value = low + (pixels.data[at] / 255) * (high - low);
    const share = (value - scale.low) / (scale.high - scale.low || 1);
    pixels.data.set([255, Math.round(220 * (1 - share)), 0, Math.round(190 * share)], at);
  }
  context.putImageData(pixels, 0, 0);
  return sheet;
}

function outline(context, places, image, [width, height]) {
  const [x, y] = [image.width / width, image.height / height];
  context.strokeStyle = "#fff";
  context.lineWidth = Math.max(2, image.width / 200);
  for (const place of places) {
    context.strokeRect(place.left * x, place.top * y, place.width * x, place.height * y);
  }
}
