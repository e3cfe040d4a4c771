// Asking the server, and small things that all views share.

let viewer = null;
let making = null;

export const byId = (id) => document.getElementById(id);

export class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

async function answer(response) {
  const content = await response.json().catch((problem) => {
    if (problem.name === "AbortError") throw problem; // taken back while its answer arrived
    throw new Refused("The explorer does not answer: is it still running?", response.status);
  });
  if (!response.ok) throw new Refused(content.error ?? "refused", response.status);
  return content;
}

export async function get(path, signal) {
  return answer(await fetch(path, { signal }));
}

export async function post(path, body, signal) {
  return answer(await fetch(path, { method: "POST", body, signal }));
}

export async function newViewer() {
  making ??= post("/api/viewers").finally(() => { making = null; });
  viewer = (await making).viewer;
  return viewer;
}

export function own(path, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined));
  const text = words.toString();
  return `/api/viewers/${viewer}/${path}${text ? `?${text}` : ""}`;
}

// The latest question of a kind wins: an earlier one is taken back, and the server drops it.
const asking = new Map();
export function latest(kind) {
  asking.get(kind)?.abort();
  const controller = new AbortController();
  asking.set(kind, controller);
  return controller.signal;
}

export function cancel(kind) { asking.get(kind)?.abort(); asking.delete(kind); }

export const isCancelled = (problem) => problem.name === "AbortError" || problem.status === 409;

let hiding = 0;
export function say(problem) {
  if (problem instanceof Error && isCancelled(problem)) return;
  const text = problem instanceof TypeError ? "The explorer does not answer: is it still running?" : problem.message ?? problem;
  byId("message").textContent = text;
  byId("message").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { byId("message").hidden = true; }, 7000);
}

export function hideMessage() { byId("message").hidden = true; }

function blobOf(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
}

// Return an address of an image that is decoded, so that it appears at once; the one before the last is given back.
const shown = new Map();
export async function addressOf(kind, base64, type = "image/png") {
  const address = URL.createObjectURL(blobOf(base64, type));
  const probe = new Image();
  probe.src = address;
  await probe.decode().catch(() => {});
  const kept = shown.get(kind) ?? [];
  kept.push(address);
  while (kept.length > 2) URL.revokeObjectURL(kept.shift());
  shown.set(kind, kept);
  return address;
}

export async function showImage(image, kind, base64, type) {
  image.src = await addressOf(kind, base64, type);
}

export function command(of, text) {
  const line = document.querySelector(`[data-of="${of}"]`);
  line.replaceChildren();
  const [, program, middle, target] = /^(\S+ \S+)(.*?)((?: (?:-t|--target) .*)?)$/s.exec(text ?? "") ?? [];
  for (const part of text ? [program, middle, target] : []) {
    const span = document.createElement("span");
    span.textContent = part;
    line.append(span);
  }
  line.title = text ? "Copy the command that gives the same" : "";
  line.tabIndex = text ? 0 : -1;
  line.setAttribute("role", "button");
}

export function number(value) {
  if (value === null || value === undefined) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

export function option(select, value, text) {
  const one = document.createElement("option");
  one.value = value;
  one.textContent = text ?? value;
  select.append(one);
}
