// Asking the station: every answer is its JSON, every refusal an Error that says what to do.

const token = document.getElementById("token");
const PATIENCE = 4000; // milliseconds for an answer; a cable that is out refuses nothing

export async function ask(method, path, body) {
  const response = await send(method, path, body);
  const said = response.status === 204 ? null : await response.json();
  if (response.ok || "format" in (said ?? {})) return said; // /health says why with a 503
  throw new Error(`${said.error}; ${said.remedy}`);
}

export async function send(method, path, body) {
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const signal = AbortSignal.timeout(PATIENCE);
  const response = await fetch(path, { method, signal, ...content });
  if (response.status !== 401) return response;
  await openSession();
  return send(method, path, body);
}

let opening = null; // one dialog, however many ask at once

function openSession() {
  opening ??= new Promise((resolve) => {
    const form = document.getElementById("session");
    form.onsubmit = async (event) => {
      event.preventDefault();
      const secret = document.getElementById("secret");
      const headers = { Authorization: `Bearer ${secret.value}` };
      const response = await fetch("session", { method: "POST", headers }).catch(() => null);
      secret.value = "";
      const refused = response ? "That is not the token." : "The station does not answer.";
      document.getElementById("refused").textContent = response?.ok ? "" : refused;
      if (!response?.ok) return;
      token.close();
      opening = null;
      resolve();
    };
    token.oncancel = (event) => event.preventDefault();
    token.showModal();
  });
  return opening;
}
