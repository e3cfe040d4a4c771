// Tabs of a layer, and the cells of its activation atlases.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const { make, number } = window.atlas;
  const tabs = [...document.querySelectorAll(".tabs a")];
  const views = new Map(tabs.map((tab) => [tab.hash.slice(1), document.getElementById("view-" + tab.hash.slice(1))]));
  function choose() {
    const name = views.has(location.hash.slice(1)) ? location.hash.slice(1) : "units";
    for (const [other, view] of views) view.hidden = other !== name;
    for (const tab of tabs) {
      if (tab.hash === "#" + name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
    }
  }
  addEventListener("hashchange", choose);
  choose();

  for (const map of document.querySelectorAll("[data-map]")) {
    const shown = map.querySelector("[data-shown]"), cells = [...map.querySelectorAll("[data-cell]")];
    const at = new Map(cells.map((cell) => [cell.getAttribute("y") + " " + cell.getAttribute("x"), cell]));
    const image = map.querySelector("image"), box = map.querySelector("svg").viewBox.baseVal;
    function show(cell) {
      const data = JSON.parse(cell.dataset.cell);
      for (const other of cells) other.classList.toggle("on", other === cell);
      const large = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      large.setAttribute("viewBox", data.col + " " + data.row + " 1 1");
      large.setAttribute("class", "map-large");
      large.setAttribute("role", "img");
      large.setAttribute("aria-label", "The cell, larger");
      const copy = image.cloneNode();
      copy.setAttribute("width", box.width);
      copy.setAttribute("height", box.height);
      large.append(copy);
      const rows = data.support.map((one) => make("li", {}, make("span", {}, one.name), make("b", {}, number(one.effect))));
      shown.replaceChildren(large, make("h3", {}, data.label || "Row " + data.row + ", column " + data.col),
        make("p", { class: "note" }, data.count === null ? "" : number(data.count) + " activations"), make("ol", { class: "effects plain" }, ...rows));
    }
    for (const cell of cells) {
      cell.addEventListener("mouseenter", () => show(cell));
      cell.addEventListener("click", () => cell.focus());
      cell.addEventListener("focus", () => show(cell));
      cell.addEventListener("keydown", (event) => {
        const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
        if (!dx && !dy) return;
        event.preventDefault();
        let x = Number(cell.getAttribute("x")) + dx, y = Number(cell.getAttribute("y")) + dy;
        while (x >= 0 && y >= 0 && x < box.width && y < box.height && !at.has(y + " " + x)) { x += dx; y += dy; }
        const next = at.get(y + " " + x);
        if (next) { cell.tabIndex = -1; next.tabIndex = 0; next.focus(); }
      });
    }
    if (cells.length) show(cells[Math.floor(cells.length / 2)]);
  }
});
