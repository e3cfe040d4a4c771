// The page: a photograph, the layers, and what is chosen of them.

import { Refused, byId, command, get, hideMessage, isCancelled, latest, newViewer, number, option, own, post, say, showImage } from "./api.js";
import { chosenUnit, markUnit, move, onChoose, showLayer } from "./grid.js";
import { forgetGrown, hideUnit, isGrowing, showAttribution, showUnit, startOrStop } from "./unit.js";

let about = null;
let layer = null;
let unit = null;
let lastPhoto = null; // how to show it again, where the server forgot this page
let camera = null;

const labelsOf = (name) => (about.layers.find((one) => one.name === name)?.labels ? about.labels : null);

function listLayers() {
  const every = byId("every").checked;
  byId("layers").replaceChildren(...about.layers.filter((one) => every || one.distinct || one.name === layer).map((one) => {
    const button = document.createElement("button");
    button.type = "button";
    const name = document.createElement("span");
    name.textContent = one.name;
    const shape = document.createElement("small");
    shape.textContent = one.shape.length === 3 && one.shape[1] * one.shape[2] > 1 ? `${one.shape[0]} · ${one.shape[2]}×${one.shape[1]}` : one.shape[0];
    button.append(name, shape);
    button.title = one.type;
    button.dataset.layer = one.name;
    button.setAttribute("aria-current", one.name === layer);
    button.addEventListener("click", () => goTo(one.name));
    return button;
  }));
  // Of the list alone: the page itself stays where it is.
  const list = byId("layers");
  const current = list.querySelector('[aria-current="true"]');
  if (current) list.scrollTo(current.offsetLeft - list.offsetLeft - list.clientWidth / 3, current.offsetTop - list.offsetTop - list.clientHeight / 3);
}

function showPhoto(view, live = false) {
  byId("photo-name").textContent = view.notes.length && !live ? `${view.name}: ${view.notes.join("; ")}` : `${view.name.split("/").pop()}, ${view.size[1]} × ${view.size[0]}`;
  byId("photo-name").title = view.name;
  const top = view.scores?.top ?? [];
  const values = top.map((one) => one.score ?? 0);
  const highest = Math.max(...values);
  const total = values.reduce((sum, value) => sum + Math.exp(value - highest), 0);
  byId("scores").replaceChildren(...top.map((one) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = one.label ?? `${view.scores.layer}:${one.unit}`;
    name.title = `${view.scores.layer}:${one.unit} ${one.label ?? ""}`;
    const value = document.createElement("span");
    value.className = "value";
    value.textContent = number(one.score);
    row.append(name, value);
    row.style.setProperty("--part", `${(100 * Math.exp((one.score ?? 0) - highest)) / total}%`);
    return row;
  }));
  command("scores", view.command);
  byId("seen").dataset.photo = view.photo;
  return showImage(byId("seen"), "seen", view.image);
}

// Show a photograph, and what all open views make of it.
async function take(send, live = false) {
  lastPhoto = send;
  const view = await send();
  await showPhoto(view, live);
  await refresh(live);
}

async function guarded(work) {
  try {
    await work();
  } catch (problem) {
    if (problem instanceof Refused && problem.status === 410 && lastPhoto) {
      await newViewer();
      await take(lastPhoto).catch(say);
    } else say(problem);
  }
}

async function refresh() {
  if (layer === null) return;
  const wanted = layer;
  const view = await get(own("layer", { layer, scale: byId("scale").value }), latest("layer"));
  if (wanted !== layer) return;
  await showLayer(view, labelsOf(layer));
  if (wanted !== layer) return;
  byId("layer").textContent = layer;
  const shape = view.shape.length === 3 ? `${view.units} units, ${view.shape[2]} × ${view.shape[1]}` : `${view.units} units`;
  const strongest = view.scale === "layer" ? `${number(view.limit)}, the 99.5th percentile of the layer` : "the unit's own 99.5th percentile";
  byId("layer-facts").textContent = `${shape}; ${view.signed ? "blue below 0, red above, strongest at" : "black is 0, brightest at"} ${strongest}`;
  command("layer", view.command);
  if (unit === null) return;
  markUnit(unit);
  const at = unit;
  await showUnit(layer, unit, about.input.slice(1));
  if (at === unit && wanted === layer) await showAttribution(layer, unit);
}

function remember() {
  const hash = unit === null ? layer : `${layer}:${unit}`;
  history.replaceState(null, "", `/#${encodeURIComponent(hash)}`);
}

function goTo(name, number_ = null) {
  const moved = name !== layer;
  if (moved || number_ !== unit) forgetGrown();
  layer = name;
  unit = number_;
  if (unit === null) hideUnit();
  listLayers();
  if (moved) byId("middle").scrollTop = 0;
  remember();
  return guarded(refresh);
}

onChoose((number_, byHand = false) => {
  if (number_ === unit && !byId("right").hidden) return;
  forgetGrown();
  unit = number_;
  markUnit(unit);
  remember();
  guarded(async () => {
    const at = [layer, unit];
    await showUnit(layer, unit, about.input.slice(1));
    if (byHand && window.matchMedia("(max-width: 700px)").matches) byId("right").scrollIntoView({ behavior: "smooth" });
    if (at[0] === layer && at[1] === unit) await showAttribution(layer, unit);
  });
});

function close() {
  unit = null;
  markUnit(null);
  hideUnit();
  remember();
}

// Photographs: files, dropped or pasted, examples, the webcam.
function sendFile(file) {
  endCamera();
  guarded(() => take(() => post(own("photo", { name: file.name || "pasted.png" }), file, latest("photo"))));
}

byId("file").addEventListener("change", () => { if (byId("file").files[0]) sendFile(byId("file").files[0]); byId("file").value = ""; });
byId("samples").addEventListener("change", () => {
  const index = byId("samples").value;
  if (index === "") return;
  endCamera();
  guarded(() => take(() => post(own(`sample/${index}`), null, latest("photo"))));
});

let dragged = 0;
window.addEventListener("dragenter", (event) => { event.preventDefault(); dragged += 1; byId("drop").hidden = false; });
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("dragleave", () => { dragged -= 1; if (dragged <= 0) { dragged = 0; byId("drop").hidden = true; } });
window.addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  byId("drop").hidden = true;
  const file = event.dataTransfer.files[0];
  if (file) sendFile(file);
});
window.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) sendFile(file);
});

const PACE = 120; // milliseconds between two frames, at the least
async function runCamera() {
  const mine = {};
  camera = mine;
  try {
    mine.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: "environment" }, audio: false });
  } catch (problem) {
    camera = null;
    say(`The webcam cannot be used: ${problem.message}`);
    return;
  }
  if (camera !== mine) { mine.stream.getTracks().forEach((track) => track.stop()); return; }
  byId("webcam").setAttribute("aria-pressed", "true");
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = mine.stream;
  await video.play();
  const canvas = document.createElement("canvas");
  while (camera === mine) {
    const began = performance.now();
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.92); });
    if (camera !== mine || !blob) break;
    mine.frame = blob;
    try {
      await take(() => post(own("photo", { name: "webcam.jpg" }), blob, latest("photo")), true);
    } catch (problem) {
      if (!isCancelled(problem)) { say(problem); break; }
    }
    await new Promise((resolve) => { setTimeout(resolve, Math.max(0, PACE - (performance.now() - began))); });
  }
  if (camera === mine) endCamera();
}

function endCamera() {
  if (!camera) return;
  camera.stream?.getTracks().forEach((track) => track.stop());
  if (camera.frame) {
    const link = byId("save-frame");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(camera.frame);
    link.hidden = false;
  }
  camera = null;
  byId("webcam").setAttribute("aria-pressed", "false");
}

byId("webcam").addEventListener("click", () => {
  if (camera) endCamera();
  else { byId("save-frame").hidden = true; runCamera(); }
});

// Search: a layer, layer:unit, or a class by its name.
function places(text) {
  const query = text.trim().toLowerCase();
  if (!query) return [];
  const found = [];
  const [, name, number_] = /^(.*):(\d+)$/.exec(text.trim()) ?? [null, null, null];
  const named = about.layers.find((one) => one.name === name);
  if (named && Number(number_) < named.shape[0]) found.push([text.trim(), named.name, Number(number_)]);
  for (const one of about.layers) if (one.name.toLowerCase().includes(query)) found.push([one.name, one.name, null]);
  const classes = about.layers.find((one) => one.labels);
  if (classes) about.labels.forEach((label, index) => { if (label.toLowerCase().includes(query)) found.push([label, classes.name, index]); });
  return found.sort((a, b) => (b[0].toLowerCase() === query) - (a[0].toLowerCase() === query)).slice(0, 12);
}

byId("query").addEventListener("input", () => {
  byId("found").replaceChildren();
  for (const [text] of places(byId("query").value)) option(byId("found"), text);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const [best] = places(byId("query").value);
  if (!best) { say(`There is no layer, unit or class '${byId("query").value}'.`); return; }
  byId("query").value = "";
  byId("query").blur();
  goTo(best[1], best[2]);
});

for (const [id, again] of [["scale", refresh], ["order", refresh]]) byId(id).addEventListener("change", () => guarded(again));
byId("every").addEventListener("change", listLayers);
for (const id of ["method", "place"]) byId(id).addEventListener("change", () => { if (unit !== null) guarded(() => showAttribution(layer, unit)); });
byId("close").addEventListener("click", close);
byId("start").addEventListener("click", () => startOrStop(layer, unit));

function nextLayer(step) {
  const names = [...byId("layers").children].map((one) => one.dataset.layer);
  const at = names.indexOf(layer) + step;
  if (names[at]) goTo(names[at]);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input[type=search], select");
  if (event.key === "Escape") {
    if (event.target === byId("query")) byId("query").blur();
    else if (!byId("message").hidden) hideMessage();
    else if (isGrowing()) startOrStop(layer, unit);
    else if (unit !== null) close();
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    byId("query").focus();
  } else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    event.preventDefault();
    move(event.key);
  } else if (event.key === "[" || event.key === "]") nextLayer(event.key === "]" ? 1 : -1);
  else if (event.key === "g" && unit !== null) startOrStop(layer, unit);
  else if ((event.key === "Enter" || event.key === " ") && event.target.matches(".command")) { event.preventDefault(); event.target.click(); }
});

document.addEventListener("click", (event) => {
  const line = event.target.closest(".command");
  if (line && !String(getSelection())) navigator.clipboard?.writeText(line.textContent).then(() => say("Copied: run it where your photograph lies."), () => {});
});

byId("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark") && (document.documentElement.dataset.theme === "dark" || matchMedia("(prefers-color-scheme: dark)").matches && document.documentElement.dataset.theme !== "light");
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
});

// What an address names: a layer of the net, if it does, and a unit's number, if it has that.
function addressed(hash) {
  const [, name, number_] = /^(.*):(\d+)$/.exec(hash) ?? [null, hash, null];
  const asked = about.layers.find((one) => one.name === name);
  return [asked, asked && number_ !== null && Number(number_) < asked.shape[0] ? Number(number_) : null];
}

window.addEventListener("hashchange", () => { // a link of the atlas's findings
  const [asked, number_] = about ? addressed(decodeURIComponent(location.hash.slice(1))) : [];
  if (asked) goTo(asked.name, number_);
});

async function begin() {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  const hash = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", `/${location.hash}`); // the token leaves the address
  [about] = await Promise.all([get("/api/about"), newViewer()]);
  document.title = `${about.net} · dreamopt explore`;
  byId("net").textContent = about.net;
  byId("photo").style.setProperty("--ratio", `${about.input[2]} / ${about.input[1]}`);
  byId("right").style.setProperty("--ratio", `${about.input[2]} / ${about.input[1]}`);
  option(byId("samples"), "", "Examples");
  about.samples.forEach((name, index) => option(byId("samples"), index, name.replace(/\.\w+$/, "")));
  for (const one of about.methods) option(byId("method"), one.name, one.name.replaceAll("_", " "));
  for (const one of about.presets) option(byId("preset"), one.name, one.name);
  command("layers", about.command);
  const maps = about.layers.filter((one) => one.distinct && one.shape.length === 3 && one.shape[1] > 3);
  const [asked, number_] = addressed(hash);
  layer = asked?.name ?? (maps[Math.floor(maps.length / 3)] ?? about.layers[0]).name;
  unit = number_;
  listLayers();
  if (about.samples.length) await guarded(() => take(() => post(own("sample/0"), null, latest("photo"))));
  else byId("layer-facts").textContent = "Drop a photograph to see what the units make of it.";
  document.documentElement.dataset.ready = "true";
}

window.addEventListener("unhandledrejection", (event) => { if (isCancelled(event.reason)) event.preventDefault(); });
begin().catch(say);
