// The net's graph: smaller, larger, or whole; it scrolls within its frame.
(function () {
  "use strict";
  const frame = document.querySelector(".graph");
  if (!frame) return;
  const svg = frame.querySelector("svg");
  const width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height;
  let scale = 1;
  function zoom(next, middle) {
    const before = (frame.scrollLeft + middle) / scale;
    scale = Math.min(3, Math.max(0.1, next));
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    frame.scrollLeft = before * scale - middle;
  }
  const tools = document.querySelector("[data-zoom]");
  tools.hidden = false;
  tools.addEventListener("click", (event) => {
    const by = event.target.dataset.zoomBy;
    if (by === undefined) return;
    zoom(Number(by) ? scale * Number(by) : Math.min(1, (frame.clientWidth - 2) / width), frame.clientWidth / 2);
  });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - frame.getBoundingClientRect().left);
  }, { passive: false });
})();
