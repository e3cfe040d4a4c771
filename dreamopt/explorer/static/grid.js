// The grid of a layer's units: one sprite for all of them, moved behind each.

import { addressOf, byId, number } from "./api.js";

let shownLayer = null;
let order = [];
let chosen = null;
let choose = () => {};

export function onChoose(callback) { choose = callback; }

export const chosenUnit = () => chosen;

function make(view) {
  const grid = byId("grid");
  grid.replaceChildren();
  for (let unit = 0; unit < view.units; unit += 1) {
    const cell = document.createElement("button");
    cell.type = "button";
    cell.dataset.unit = unit;
    cell.tabIndex = -1;
    cell.setAttribute("aria-pressed", "false");
    const columns = view.columns;
    const rows = Math.ceil(view.units / columns);
    const across = columns > 1 ? (100 * (unit % columns)) / (columns - 1) : 0;
    const down = rows > 1 ? (100 * Math.floor(unit / columns)) / (rows - 1) : 0;
    cell.style.backgroundPosition = `${across}% ${down}%`;
    grid.append(cell);
  }
  const few = view.units <= 40 ? 104 : view.units <= 140 ? 76 : view.units <= 600 ? 58 : 40;
  grid.style.setProperty("--side", view.shape.length === 3 ? `${few}px` : view.units <= 140 ? "58px" : "34px");
  grid.style.setProperty("--ratio", `${view.cell[1]} / ${view.cell[0]}`);
  grid.style.setProperty("--sprite-size", `${100 * view.columns}% ${100 * Math.ceil(view.units / view.columns)}%`);
}

function sort(view) {
  const numbers = [...Array(view.units).keys()];
  if (byId("order").value === "highest") numbers.sort((a, b) => (view.highest[b] ?? -Infinity) - (view.highest[a] ?? -Infinity) || a - b);
  if (numbers.every((unit, place) => order[place] === unit) && order.length === numbers.length) return;
  order = numbers;
  order.forEach((unit, place) => { cellOf(unit).style.order = place; });
}

const cellOf = (unit) => byId("grid").children[unit];

export async function showLayer(view, labels) {
  const sprite = await addressOf("sprite", view.sprite);
  const grid = byId("grid");
  if (shownLayer !== `${view.layer} ${view.units} ${view.cell}`) {
    make(view);
    order = [];
    chosen = null;
    shownLayer = `${view.layer} ${view.units} ${view.cell}`;
  }
  grid.style.setProperty("--sprite", `url("${sprite}")`);
  grid.dataset.photo = view.photo;
  for (let unit = 0; unit < view.units; unit += 1) {
    const name = labels ? `, ${labels[unit]}` : "";
    const text = `unit ${unit}${name}, highest ${number(view.highest[unit])}`;
    const cell = cellOf(unit);
    if (cell.title !== text) { cell.title = text; cell.setAttribute("aria-label", text); }
  }
  sort(view);
  const first = order[0] ?? 0;
  if (chosen === null && cellOf(first)) cellOf(first).tabIndex = 0;
}

export function markUnit(unit) {
  const grid = byId("grid");
  for (const cell of grid.querySelectorAll('[aria-pressed="true"], [tabindex="0"]')) {
    cell.setAttribute("aria-pressed", "false");
    cell.tabIndex = -1;
  }
  chosen = unit;
  if (unit !== null && cellOf(unit)) {
    cellOf(unit).setAttribute("aria-pressed", "true");
    cellOf(unit).tabIndex = 0;
  }
}

// Move by so many places in the order that is shown; by rows where the step is "up" or "down".
export function move(key) {
  if (!order.length) return;
  const columns = getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[key];
  const at = chosen === null ? -1 : order.indexOf(chosen);
  const next = chosen === null ? 0 : Math.min(order.length - 1, Math.max(0, at + step));
  const cell = cellOf(order[next]);
  cell.focus({ preventScroll: true });
  cell.scrollIntoView({ block: "nearest" });
  choose(order[next]);
}

byId("grid").addEventListener("click", (event) => {
  const cell = event.target.closest("button");
  if (cell) choose(Number(cell.dataset.unit), true);
});
