// The chosen unit: its map, where it looks, what it answers to, its image as it grows, and what an atlas has of it.

import { addressOf, byId, cancel, command, get, latest, number, own, post, say, showImage } from "./api.js";

let growing = null;

// The server's own markup, in which all that the atlas says is escaped; the page takes none but by this.
const policy = window.trustedTypes?.createPolicy("findings", { createHTML: (markup) => markup });
const findings = (markup) => policy?.createHTML(markup) ?? markup;

export async function showUnit(layer, unit, photo) {
  const view = await get(own("unit", { layer, unit }), latest("unit"));
  byId("right").hidden = false;
  document.querySelector("main").classList.add("with-unit");
  byId("unit").textContent = view.label ? `${view.target}  ${view.label}` : view.target;
  const place = view.place ? ` at row ${view.place[0]}, column ${view.place[1]}` : "";
  const mean = view.place ? `, mean ${number(view.mean)}` : "";
  byId("unit-facts").textContent = `highest ${number(view.highest)}${place}${mean}; sees ${view.field.window[1]} × ${view.field.window[0]} pixels`;
  byId("map-shape").textContent = `, ${view.shape[1]} × ${view.shape[0]}`;
  byId("place-label").hidden = !view.place;
  byId("right").dataset.place = view.place ? view.place.join(",") : "";
  byId("right").dataset.photo = view.photo;
  await showImage(byId("map"), "map", view.map);
  command("unit", view.command);
  showBox(view.field.box, photo);
  showAtlas(view.atlas);
  return view;
}

function showBox([top, left, bottom, right], input) {
  const box = byId("box");
  const [height, width] = input;
  box.hidden = bottom <= top || right <= left || (bottom - top >= height && right - left >= width);
  box.style.top = `${(100 * top) / height}%`;
  box.style.left = `${(100 * left) / width}%`;
  box.style.height = `${(100 * (bottom - top)) / height}%`;
  box.style.width = `${(100 * (right - left)) / width}%`;
}

export async function showAttribution(layer, unit) {
  const place = byId("place").checked ? byId("right").dataset.place || null : null;
  const wait = byId("overlay-wait");
  const late = setTimeout(() => { wait.textContent = "computing …"; wait.hidden = false; }, 400);
  try {
    const view = await get(own("attribution", { layer, unit, method: byId("method").value, place }), latest("attribution"));
    await showImage(byId("overlay"), "overlay", view.overlay);
    byId("overlay-facts").textContent = view.zero ? `zero everywhere (score ${number(view.score)})` : `${view.target}: ${number(view.score)}, by ${view.method}`;
    byId("overlay-facts").title = view.explains;
    byId("overlay").dataset.photo = view.photo;
    command("attribution", view.command);
  } finally {
    clearTimeout(late);
    wait.hidden = true;
  }
}

export function hideUnit() {
  cancel("unit");
  cancel("attribution");
  stopGrowing();
  byId("right").hidden = true;
  byId("box").hidden = true;
  document.querySelector("main").classList.remove("with-unit");
}

export const isGrowing = () => growing !== null;

function setGrowing(state) {
  growing = state;
  byId("start").textContent = state ? "Stop" : "Grow";
}

// Leave a growth: its connection closes, which stops the work.
export function stopGrowing() {
  if (!growing) return;
  growing.events?.close();
  setGrowing(null);
  byId("grown-facts").textContent += ", left";
}

export function forgetGrown() {
  stopGrowing();
  byId("grown").hidden = true;
  command("growth", null);
}

export async function startOrStop(layer, unit) {
  if (growing) {
    await post(own(`growth/${growing.name}/stop`)).catch(say);
    return;
  }
  const asked = { layer, unit, preset: byId("preset").value };
  for (const name of ["steps", "size"]) if (byId(name).value) asked[name] = Number(byId(name).value);
  const state = { name: null, events: null };
  setGrowing(state);
  byId("save").hidden = true;
  try {
    const about = await post(own("growth"), JSON.stringify(asked));
    if (growing !== state) return; // left meanwhile; nobody listens, so that it stops
    state.name = about.growth;
    command("growth", about.command);
    byId("grown").hidden = false;
    byId("growth").scrollIntoView({ block: "nearest", behavior: "smooth" });
    byId("grown-facts").textContent = about.waits ? "waits for other images" : "begins";
    listen(state, about);
  } catch (problem) {
    if (growing === state) setGrowing(null);
    say(problem);
  }
}

function listen(state, about) {
  const events = new EventSource(own(`growth/${state.name}/events`));
  state.events = events;
  let steps = 0;
  const facts = byId("grown-facts");
  const on = (kind, callback) => events.addEventListener(kind, (event) => { if (growing === state) callback(JSON.parse(event.data)); });
  on("begun", (event) => { steps = event.steps; byId("progress").max = steps; byId("progress").value = 0; });
  on("frame", async (event) => {
    byId("progress").value = event.step;
    facts.textContent = `${about.target}, step ${event.step} of ${steps}: ${number(event.value)}`;
    const address = await addressOf("grown", event.image, "image/webp");
    if (growing === state) byId("grown-image").src = address;
  });
  on("done", (event) => {
    events.close();
    setGrowing(null);
    facts.textContent = `${about.target}: ${number(event.value)}, ${event.interrupted ? `stopped after step ${event.step}` : `${event.step} steps`}, ${event.seconds} s`;
    byId("progress").value = event.step;
    const image = own(`growth/${state.name}/image.png`);
    byId("grown-image").src = image;
    byId("save").href = image;
    byId("save").download = about.file;
    byId("save").hidden = false;
  });
  on("failed", (event) => { events.close(); setGrowing(null); facts.textContent = event.reason; });
  events.onerror = () => {
    events.close();
    if (growing === state) { setGrowing(null); facts.textContent = "the connection was lost"; }
  };
}

function thumbs(container, items, caption) {
  container.replaceChildren(...items.map((item) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.loading = "lazy";
    image.alt = caption(item);
    image.src = `/api/atlas/${item.file.split("/").map(encodeURIComponent).join("/")}`;
    const text = document.createElement("figcaption");
    text.textContent = caption(item);
    text.title = caption(item);
    figure.append(image, text);
    return figure;
  }));
}

function showAtlas(atlas) {
  const images = (atlas?.images ?? []).filter((one) => one.file);
  const failed = (atlas?.images ?? []).filter((one) => one.failed);
  const crops = atlas?.crops ?? [];
  byId("atlas").hidden = !atlas || (!images.length && !crops.length && !failed.length && !atlas.findings);
  byId("atlas-facts").textContent = [atlas?.state, ...failed.map((one) => one.failed)].filter(Boolean).join("; ");
  command("atlas", images[0]?.command);
  thumbs(byId("atlas-images"), images, (one) => `${{ 0: "optimized", minus: "least liked" }[one.variant] ?? `variant ${one.variant}`}, ${number(one.value)}`);
  byId("atlas-findings").innerHTML = findings(atlas?.findings ?? "");
  byId("crops-title").hidden = !crops.length;
  thumbs(byId("atlas-crops"), crops, (one) => `${number(one.value)} ${one.image ?? ""}`);
}
