// What the station says of itself, and how old that is: all that is shown green hangs on it.

import { ask } from "./asking.js";

const SILENT = 6000; // milliseconds after which what was said last may not hold; a beat comes every 2 s
let events = null; // the stream
let opened = 0; // when it was
let health = null; // what the last beat said
let said = 0; // when the station said it, by this page's clock
let came = 0; // when it came, by the time of day: the other clock stands still in a machine that sleeps
let ahead = Infinity; // by how much this page's clock is ahead of the station's, by what came soonest

// Return what the station says of itself, or null if that may not hold any more.
export function heard() {
  const age = Math.max(performance.now() - said, Math.abs(Date.now() - came));
  return health && age < SILENT ? health : null;
}

// Follow what the station says; `told` has what to do with it.
export function follow(told) {
  events?.close();
  health = null;
  events = new EventSource("events");
  events.onopen = () => {
    opened = performance.now();
    ahead = Infinity;
    compareClocks(); // beside the stream, which something in between may hold back
    told.opened();
  };
  events.addEventListener("beat", ({ data }) => {
    health = JSON.parse(data);
    [said, came] = [compare(health) + ahead, Date.now()];
    told.beat();
  });
  for (const kind of ["judgement", "part"]) {
    events.addEventListener(kind, ({ data }) => told[kind](JSON.parse(data)));
  }
  events.onerror = () => {
    health = null;
    told.lost();
    if (events.readyState === EventSource.CLOSED) told.refused(); // else the browser tries again
  };
}

function compare({ seconds }) {
  ahead = Math.min(ahead, performance.now() - 1000 * seconds);
  return 1000 * seconds;
}

async function compareClocks() {
  const now = await ask("GET", "health").catch(() => null);
  if (now) compare(now);
}

// Begin anew with a stream that is silent, or late: what it still holds is old.
export function listenAgain(told) {
  const open = events?.readyState === EventSource.OPEN && performance.now() - opened > SILENT;
  if (open && !heard()) follow(told);
}
