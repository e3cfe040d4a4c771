// A list of units, from the address: list.html#conv1/5,fire2--expand1x1/3
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const { root, make, number, parseList, layer, copy, say } = window.atlas;
  const place = document.querySelector("[data-listed]"), empty = document.querySelector("[data-empty]");
  const known = new Map(window.atlas.layers.map(([name, slug]) => [slug, name]));
  const fromAddress = () => parseList(decodeURIComponent(location.hash.slice(1)));
  const address = (names) => { history.replaceState(null, "", location.pathname + (names.length ? "#" + names.join(",") : "")); };
  let names = [];

  function picture(slug, data, i, title) {
    if (!data || i < 0 || data.places[i] < 0) return make("span", { class: "blank", "aria-hidden": "true" });
    return make("img", { src: root + "site/display/" + encodeURI(slug) + "/" + data.units[i] + "-0." + data.ending, alt: title, loading: "lazy", decoding: "async" });
  }
  async function show() {
    const now = (show.now = {});
    names = fromAddress();
    if (!location.hash && window.atlas.list.length) { names = window.atlas.list.slice(); address(names); }
    const mine = names.join(",") === window.atlas.list.join(",");
    document.querySelector("[data-list-title]").textContent = mine ? "Your list" : "A shared list";
    document.querySelector("[data-do=keep]").hidden = mine;
    document.querySelector("[data-do=clear]").hidden = !mine || !names.length;
    empty.hidden = names.length > 0;
    const rows = [];
    for (const name of names) {
      const at = name.lastIndexOf("/"), slug = name.slice(0, at), unit = Number(name.slice(at + 1));
      const data = known.has(slug) ? await layer(slug) : undefined;
      if (now !== show.now) return;
      const i = data ? data.units.indexOf(unit) : -1;
      const title = (known.get(slug) || slug) + " " + unit, label = data && data.labels && data.labels[i];
      const open = (...children) => (i >= 0 ? make("a", { href: root + encodeURI(slug) + "/" + unit + ".html" }, ...children) : make("span", {}, ...children));
      const out = make("button", { type: "button", class: "out", "aria-label": "Take out " + title }, "×");
      out.addEventListener("click", () => {
        const rest = names.filter((one) => one !== name);
        if (mine) window.atlas.setList(rest, true);
        address(rest);
        show();
      });
      rows.push(make("li", {}, make("figure", {}, open(picture(slug, data, i, title)), make("figcaption", {}, open(title), make("small", {}, label || (i < 0 ? "not in this atlas" : number(data.values[i])))), out)));
    }
    place.replaceChildren(...rows);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    const what = button && button.dataset.do;
    if (what === "copy-address") copy(location.href);
    else if (what === "keep") { window.atlas.setList(names); say("It is your list now"); show(); }
    else if (what === "clear") { window.atlas.setList([]); address([]); show(); }
  });
  addEventListener("hashchange", show);
  show();
});
