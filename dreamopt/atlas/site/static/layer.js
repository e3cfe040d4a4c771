// A layer's grid. Only the rows in sight are in the page, however many units there are.
document.addEventListener("DOMContentLoaded", async () => {
  "use strict";
  const { root, make, number } = window.atlas;
  const slug = document.documentElement.dataset.layer;
  const data = await window.atlas.layer(slug);
  const grid = document.getElementById("grid");
  const form = document.querySelector("[data-controls]");
  const counter = document.querySelector("[data-count]");
  if (!data) return;
  const CAPTION = 40, GAP = 10, BEYOND = 3;
  const WORDS = { d: "dead", o: "always on", f: "failed" };
  const pane = make("div", { class: "pane" });
  grid.append(pane);
  const all = data.units.map((_, i) => i);
  const lowered = data.labels && data.labels.map((label) => (label || "").toLowerCase());
  const place = new Map(data.units.map((unit, i) => [unit, i]));
  let shown = all, wanted = 112, side = 112, across = 1, from = 0, to = -1, current = 0, sharpen = 0;
  const drawn = new Map(); // place in `shown` -> element

  const RANK = { f: 0, d: 1, o: 2, a: 3, "-": 4 };
  const none = (value, otherwise) => (value === null || value === undefined ? otherwise : value);
  const orders = {
    unit: () => 0,
    label: (a, b) => (lowered ? (lowered[a] || "\uffff") < (lowered[b] || "\uffff") ? -1 : (lowered[a] || "\uffff") > (lowered[b] || "\uffff") ? 1 : 0 : 0),
    value: (a, b) => none(data.values[b], -Infinity) - none(data.values[a], -Infinity) || 0,
    zeros: (a, b) => (data.zeros ? none(data.zeros[b], -1) - none(data.zeros[a], -1) : 0),
    state: (a, b) => RANK[data.states[a]] - RANK[data.states[b]],
  };

  function choose() {
    const { sort, show, filter } = form.elements;
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = all.filter((i) => (!show.value || data.states[i] === show.value)
      && words.every((word) => String(data.units[i]).startsWith(word) || (lowered && lowered[i].includes(word))));
    shown = kept.sort((a, b) => orders[sort.value](a, b) || a - b);
    counter.textContent = shown.length === all.length ? number(all.length) + " units" : number(shown.length) + " of " + number(all.length);
    current = 0;
    layOut();
  }

  function layOut() {
    across = Math.max(1, Math.round((grid.clientWidth + GAP) / (wanted + GAP))); // whole columns, as wide as the page
    side = Math.floor((grid.clientWidth - GAP * (across - 1)) / across);
    const rows = Math.ceil(shown.length / across);
    grid.style.height = rows * (side + CAPTION + GAP) + "px";
    grid.classList.toggle("empty", !rows);
    for (const element of drawn.values()) element.remove();
    drawn.clear();
    from = 0; to = -1;
    draw();
  }

  function draw() {
    const pitch = side + CAPTION + GAP, top = grid.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / pitch) - BEYOND), last = Math.ceil((innerHeight - top) / pitch) + BEYOND;
    const start = first * across, end = Math.min(shown.length, last * across);
    if (start !== from || end !== to) {
      for (const [at, element] of drawn) {
        if (at < start || at >= end) { element.remove(); drawn.delete(at); }
      }
      const fresh = [];
      for (let at = start; at < end; at++) if (!drawn.has(at)) { drawn.set(at, cell(at)); fresh.push(drawn.get(at)); }
      pane.append(...fresh);
      from = start; to = end;
      clearTimeout(sharpen);
      sharpen = setTimeout(sharp, 150);
    }
    for (const [at, element] of drawn) element.tabIndex = at === current ? 0 : -1;
  }

  // The sheet of thumbnails first; the larger copies come when the scrolling rests.
  function sharp() {
    if (wanted <= 64 && devicePixelRatio < 2) return;
    for (const element of drawn.values()) {
      const box = element.firstChild;
      if (box.dataset.unit === undefined || box.firstChild) continue;
      const image = make("img", { src: root + "site/display/" + encodeURI(slug) + "/" + box.dataset.unit + "-0." + data.ending, alt: "", width: side, height: side, decoding: "async" });
      image.onerror = () => image.remove();
      box.append(image);
    }
  }

  function cell(at) {
    const i = shown[at], unit = data.units[i], label = data.labels && data.labels[i], state = WORDS[data.states[i]];
    const box = make("span", { class: "sprite" });
    box.style.width = box.style.height = side + "px";
    const picture = data.places[i];
    if (picture >= 0) {
      const most = data.across * data.across, sheet = Math.floor(picture / most), at2 = picture % most;
      const onSheet = Math.min(most, data.count - sheet * most), columns = Math.min(data.across, onSheet), rows = Math.ceil(onSheet / data.across);
      box.dataset.unit = unit;
      box.style.backgroundImage = 'url("' + root + encodeURI(data.sheets[sheet]) + '")';
      box.style.backgroundSize = columns * side + "px " + rows * side + "px";
      box.style.backgroundPosition = -(at2 % data.across) * side + "px " + -Math.floor(at2 / data.across) * side + "px";
    } else {
      box.classList.add("none");
      box.textContent = state || "no image";
    }
    const under = label || (state ? state : data.values[i] === null ? "" : number(data.values[i]));
    const element = make("a", { class: "cell" + (state ? " " + state.replace(" ", "-") : ""), href: unit + ".html", title: label ? unit + " " + label : null, "aria-label": data.name + " " + unit + (label ? ", " + label : "") + (state ? ", " + state : "") },
      box, make("span", { class: "cell-unit" }, String(unit)), make("span", { class: "cell-label" }, under));
    const row = Math.floor(at / across);
    element.style.width = side + "px";
    element.style.transform = "translate(" + (at % across) * (side + GAP) + "px," + row * (side + CAPTION + GAP) + "px)";
    element.dataset.at = at;
    return element;
  }

  function focus(at) {
    current = Math.max(0, Math.min(shown.length - 1, at));
    const pitch = side + CAPTION + GAP, row = Math.floor(current / across);
    const top = grid.getBoundingClientRect().top + row * pitch;
    const head = form.getBoundingClientRect().bottom;
    if (top < head) scrollBy(0, top - head - GAP);
    else if (top + pitch > innerHeight) scrollBy(0, top + pitch - innerHeight + GAP);
    draw();
    const element = drawn.get(current);
    if (element) element.focus({ preventScroll: true });
  }

  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.classList.contains("cell")) return;
    const at = Number(event.target.dataset.at), page = across * Math.max(1, Math.floor(innerHeight / (side + CAPTION + GAP)) - 1);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, PageUp: -page, PageDown: page, Home: -at, End: shown.length }[event.key];
    if (step !== undefined) { event.preventDefault(); focus(at + step); }
    else if (event.key === "a") { event.preventDefault(); window.atlas.toggle(slug + "/" + data.units[shown[at]]); }
  });
  document.addEventListener("keydown", (event) => { // the first arrow key enters the grid
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || grid.closest("[hidden]")) return;
    if (document.activeElement === document.body && /^Arrow(Down|Right)$/.test(event.key) && shown.length) { event.preventDefault(); focus(current); }
  });
  grid.addEventListener("focusin", (event) => { if (event.target.dataset.at !== undefined) current = Number(event.target.dataset.at); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    wanted = Number(form.elements.size.value);
    choose();
    keep();
  });
  // How the grid is sorted is part of the page's address, so that going back finds it as it was.
  function keep() {
    const chosen = new URLSearchParams();
    for (const name of ["sort", "show", "filter", "size"]) {
      const value = form.elements[name].value;
      if (value && value !== { sort: "unit", size: "112" }[name]) chosen.set(name, value);
    }
    const text = chosen.toString();
    try { history.replaceState(null, "", location.pathname + (text ? "?" + text : "") + location.hash); } catch (error) { /* from a disk, some browsers refuse */ }
  }
  for (const [name, value] of new URLSearchParams(location.search)) {
    const control = ["sort", "show", "filter", "size"].includes(name) ? form.elements[name] : null;
    if (control && (control.type === "search" || [...control.options].some((one) => one.value === value))) control.value = value;
  }
  for (const option of form.elements.show.options) {
    option.hidden = option.value !== "" && !data.states.includes(option.value);
  }
  for (const option of form.elements.sort.options) {
    option.hidden = (option.value === "label" && !data.labels) || (option.value === "zeros" && !data.zeros);
  }
  wanted = Number(form.elements.size.value);
  addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  let width = grid.clientWidth;
  new ResizeObserver(() => { if (grid.clientWidth !== width) { width = grid.clientWidth; layOut(); } else draw(); }).observe(document.body);
  choose();
});
