// What was said of images and of parts, as far as this page heard it.

const MOST = 2000; // of each
export const known = new Map(); // judgements by their id
const parts = new Map(); // what was said of the part that an image is a view of, by its judgement

export function remember(judgements, said) {
  for (const each of judgements) known.set(each.id, each);
  for (const part of said) for (const id of part.views) parts.set(id, part);
  for (const all of [known, parts]) for (const id of all.keys()) if (all.size > MOST) all.delete(id);
}

// Return what counts: what was said of its part, if it is a view of one.
export function whole(judgement) {
  return judgement.part ? parts.get(judgement.id) : judgement;
}

export function whenOf(judgement) {
  const day = new Date(judgement.at), today = day.toDateString() === new Date().toDateString();
  return today ? day.toLocaleTimeString() : day.toLocaleString();
}

export function named(judgement) {
  const { part, image, answer } = judgement;
  return part ? `${part} · ${image}${answer && `: ${answer}`}` : image;
}
