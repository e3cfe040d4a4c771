// What all pages share: data that scripts hand over, lists of units, search, keys. Text reaches the page as text alone.
(function () {
  "use strict";
  const page = document.documentElement;
  const root = page.dataset.root || "";
  const layers = new Map(); // slug -> columns of a layer
  const loading = new Map(); // path -> promise
  let net = { name: "", layers: [], whole: true };

  window.atlasData = {
    put(kind, name, data) {
      if (kind === "net") net = data;
      else if (kind === "layer") layers.set(name, data);
    },
  };

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function load(path) {
    if (!loading.has(path)) {
      loading.set(path, new Promise((resolve) => {
        const script = make("script", { src: root + path });
        script.onload = () => resolve(true);
        script.onerror = () => resolve(false);
        document.head.append(script);
      }));
    }
    return loading.get(path);
  }

  async function layer(slug) {
    if (!layers.has(slug)) await load("site/layers/" + encodeURI(slug) + ".js");
    return layers.get(slug);
  }

  function say(text) {
    const place = document.getElementById("said");
    place.textContent = text;
    place.classList.add("on");
    clearTimeout(say.timer);
    say.timer = setTimeout(() => place.classList.remove("on"), 2200);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) { // no clipboard for pages from a disk: the older way
      const field = make("textarea", { class: "away", "aria-hidden": "true" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say("Copied");
  }

  function store(key, value) {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch (error) { /* the address keeps the list all the same */ }
    return null;
  }

  // A list is text: conv1/5,fire2--expand1x1/3. It is kept where the browser keeps things, and always in addresses.
  const MOST = 500;
  const SLUG = /^(?!\.)[A-Za-z0-9_.~-]+$/;
  function parseList(text) {
    const found = [];
    for (const part of String(text || "").split(",").slice(0, 4 * MOST)) {
      const at = part.lastIndexOf("/");
      const slug = part.slice(0, at), unit = part.slice(at + 1);
      if (at > 0 && SLUG.test(slug) && /^\d{1,9}$/.test(unit)) found.push(slug + "/" + Number(unit));
    }
    return [...new Set(found)].slice(0, MOST);
  }
  const listKey = () => "dreamopt-atlas-list:" + net.name;
  const carried = page.dataset.list === undefined && new URLSearchParams(location.search).get("list");
  let list = [];
  function setList(next, quiet) {
    list = next;
    store(listKey(), list.join(","));
    showList();
    if (!quiet) document.dispatchEvent(new CustomEvent("atlas-list"));
  }
  function showList() {
    const link = document.querySelector("[data-list-link]");
    link.href = root + "list.html" + (list.length ? "#" + list.join(",") : "");
    const count = document.querySelector("[data-list-count]");
    count.textContent = list.length;
    count.hidden = !list.length;
    for (const button of document.querySelectorAll("[data-do=add]")) {
      const isIn = list.includes(page.dataset.layer + "/" + page.dataset.unit);
      button.setAttribute("aria-pressed", isIn);
      button.textContent = isIn ? "In your list" : "Add to list";
    }
    // Where the browser keeps nothing, links carry the list on.
    if (!store("dreamopt-atlas-list:" + net.name) && list.length) carry();
  }
  function carry() {
    for (const link of document.querySelectorAll("a[href$='.html']")) {
      if (!link.hasAttribute("data-list-link")) link.href = link.getAttribute("href") + "?list=" + list.join(",");
    }
  }
  function toggle(name) {
    const isIn = list.includes(name);
    if (!isIn && list.length >= MOST) return say("A list holds at most " + MOST + " units");
    setList(isIn ? list.filter((one) => one !== name) : [...list, name]);
    return say(isIn ? "Taken out of your list" : "Added to your list");
  }

  function theme() {
    const dark = page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    page.dataset.theme = dark ? "light" : "dark";
    store("dreamopt-atlas-theme", page.dataset.theme);
  }

  // Search: words must all occur in "layer unit label".
  const finder = document.getElementById("search");
  const field = document.getElementById("search-text");
  const found = document.getElementById("search-found");
  const LONGEST = 40;
  async function everything(words, now) {
    if (net.whole) {
      if (net.layers.some(([, slug]) => !layers.has(slug))) await load("site/search.js");
    } else { // one after the other, and no more of them when the text has changed
      for (const [, slug] of net.layers) {
        if (now !== search.now) return;
        if (!layers.has(slug)) { await layer(slug); show(words); }
      }
    }
  }
  function matches(words) {
    const rows = [];
    for (const [name, slug, count] of net.layers) {
      const low = name.toLowerCase();
      if (words.every((word) => low.includes(word))) rows.push({ slug, text: name, small: count + " units" });
    }
    for (const [name, slug] of net.layers) {
      const data = layers.get(slug);
      if (!data) continue;
      const low = name.toLowerCase();
      const open = words.filter((word) => !low.includes(word));
      if (!open.length && !words.some((word) => /^\d+$/.test(word)) && !data.labels) continue;
      const numbered = words.filter((word) => /^\d+$/.test(word));
      for (let i = 0; i < data.units.length && rows.length < LONGEST; i++) {
        const unit = String(data.units[i]), label = ((data.labels && data.labels[i]) || "").toLowerCase();
        const rest = numbered.includes(unit) ? words.filter((word) => word !== unit && !low.includes(word)) : open;
        if ((rest.length || numbered.includes(unit)) && rest.every((word) => label.includes(word))) {
          rows.push({ slug, unit: data.units[i], text: name + " " + unit, small: (data.labels && data.labels[i]) || "" });
        }
      }
      if (rows.length >= LONGEST) break;
    }
    return rows;
  }
  function show(words) {
    const rows = words.length ? matches(words) : [];
    found.replaceChildren(...rows.map((row) => {
      const href = root + encodeURI(row.slug) + "/" + (row.unit === undefined ? "index" : row.unit) + ".html";
      return make("li", {}, make("a", { href }, row.text, make("small", {}, row.small)));
    }));
    if (words.length && !rows.length) found.append(make("li", { class: "note" }, "Nothing of that name."));
  }
  async function search() {
    const words = field.value.toLowerCase().replace(/\//g, (c) => c).split(/\s+/).filter(Boolean);
    search.now = {};
    const now = search.now;
    if (words.length) await everything(words, now);
    if (now === search.now) show(words);
  }
  field.addEventListener("input", search);
  finder.addEventListener("keydown", (event) => {
    const links = [...found.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && links.length) links[Math.min(at + 1, links.length - 1)].focus();
    else if (event.key === "ArrowUp") (at > 0 ? links[at - 1] : field).focus();
    else if (event.key === "Enter" && document.activeElement === field) { if (links.length) links[0].click(); }
    else return;
    event.preventDefault();
  });
  function open(dialog) {
    if (!dialog.open) dialog.showModal();
    if (dialog === finder) { field.value = ""; show([]); field.focus(); }
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  const actions = {
    search: () => open(finder),
    help: () => open(document.getElementById("help")),
    theme,
    add: () => toggle(page.dataset.layer + "/" + page.dataset.unit),
    copy: (button) => copy(button.parentElement.querySelector("code").textContent),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button && Object.hasOwn(actions, button.dataset.do)) actions[button.dataset.do](button);
  });

  const keys = {
    "/": () => open(finder),
    "?": () => open(document.getElementById("help")),
    d: theme,
    u: () => { if (page.dataset.up) location.href = page.dataset.up; },
    l: () => { location.href = document.querySelector("[data-list-link]").href; },
    a: () => { if (page.dataset.unit !== undefined) actions.add(); },
    c: () => { const code = document.querySelector("[data-shown-command]"); if (code) copy(code.textContent); },
    ArrowLeft: () => { if (page.dataset.previous) location.href = page.dataset.previous; },
    ArrowRight: () => { if (page.dataset.next) location.href = page.dataset.next; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea, dialog, [role=region], pre")) return;
    if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  });

  // Arrow keys move among the links of a list, by where they lie.
  for (const group of document.querySelectorAll("[data-roving]")) {
    group.addEventListener("keydown", (event) => {
      const links = [...group.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement);
      if (at < 0) return;
      const across = links.filter((one) => one.getBoundingClientRect().top === links[0].getBoundingClientRect().top).length || 1;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
      if (!step) return;
      event.preventDefault();
      (links[at + step] || links[at]).focus();
    });
  }

  function number(value) { // as on the pages that were filled in before
    if (value === null || value === undefined) return "–";
    const shown = Math.abs(value) >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
    return shown.replace("-", "−");
  }

  window.atlas = {
    root, make, layer, say, copy, toggle, number, parseList,
    get list() { return list; },
    get layers() { return net.layers; },
    setList,
  };
  document.addEventListener("DOMContentLoaded", () => {
    list = parseList(carried || store(listKey()));
    if (carried) store(listKey(), list.join(","));
    showList();
  });
})();
