// A unit's page: its variants, by the part of the address after #.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const links = [...document.querySelectorAll("[data-variant]")];
  const part = (name) => document.querySelector("[data-shown-" + name + "]");
  function choose() {
    const chosen = links.find((link) => link.id === location.hash.slice(1));
    const link = chosen || links[0];
    if (!link) return;
    for (const other of links) {
      if (other === link) other.setAttribute("aria-current", "true"); else other.removeAttribute("aria-current");
    }
    const { title, file, image, value, command } = link.dataset;
    part("image").src = image;
    part("image").alt = document.title + ": " + title;
    part("file").href = part("link").href = file;
    part("title").textContent = title;
    part("value").textContent = value;
    if (part("command") && command) part("command").textContent = command;
  }
  for (const link of links) {
    link.addEventListener("click", (event) => { // without a jump of the page
      event.preventDefault();
      try { history.replaceState(null, "", "#" + link.id); choose(); } catch (error) { location.hash = link.id; }
    });
  }
  addEventListener("hashchange", choose);
  choose();
});
