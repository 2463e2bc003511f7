// Images that are no longer like the usual ones: a person ends the alarm when its cause is mended.

import { ask } from "./asking.js";

const at = (id) => document.getElementById(id);
const row = at("changed"), dialog = at("anew");

export function showChanged(names, ended) {
  row.hidden = !names.length;
  if (row.dataset.names === names.join("\n")) return; // else a button would lose the focus
  row.dataset.names = names.join("\n");
  row.replaceChildren(...names.map((name) => button(name, ended)));
}

export function offerFirst() {
  row.querySelector("button")?.click();
}

function button(name, ended) {
  const made = document.createElement("button");
  made.textContent = `Begin anew with ${name} …`;
  made.setAttribute("aria-keyshortcuts", "a");
  made.onclick = () => {
    at("whose").textContent = name;
    dialog.returnValue = "";
    dialog.onclose = () => dialog.returnValue === "anew" && ended(beginAnew(name));
    dialog.showModal();
  };
  return made;
}

function beginAnew(name) {
  return ask("POST", `drift/${encodeURIComponent(name)}/anew`);
}
