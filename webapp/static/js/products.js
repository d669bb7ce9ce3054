// The list of products and long work; without this script the same buttons and links do the same.
(() => {
  "use strict";

  // The selection: how many are ticked, all of the page at once, all that match.
  function showSelection() {
    const form = document.querySelector("[data-selection]");
    if (!form) return;
    const boxes = [...document.querySelectorAll('input[name="item"]')];
    const page = document.querySelector("[data-select-page]");
    const all = form.querySelector("[data-select-all]").checked;
    const ticked = boxes.filter((box) => box.checked).length;
    for (const box of boxes) box.disabled = all;
    page.hidden = false;
    page.disabled = all;
    page.checked = ticked === boxes.length;
    page.indeterminate = ticked > 0 && ticked < boxes.length;
    for (const button of form.querySelectorAll("[data-needs-selection]")) button.disabled = !all && !ticked;
    const text = all ? form.dataset.all : ticked ? form.dataset.some : form.dataset.none;
    const line = form.querySelector("[data-selected]");
    const words = text.replace("{n}", ticked.toLocaleString(document.documentElement.lang));
    if (line.textContent !== words) line.textContent = words;
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-page]")) {
      for (const box of document.querySelectorAll('input[name="item"]')) box.checked = event.target.checked;
    }
    if (event.target.matches('[data-select-page], [data-select-all], input[name="item"]')) showSelection();
  });
  document.addEventListener("DOMContentLoaded", showSelection);
  document.addEventListener("htmx:after:swap", showSelection);
  window.addEventListener("pageshow", showSelection);

  // Long work: an error must not take the place of the figures; the button goes on from there.
  const isRun = (event) => event.detail?.ctx?.sourceElement?.hasAttribute?.("data-run");
  const stall = () => document.getElementById("run-part")?.classList.add("stalled");
  document.addEventListener("htmx:config:request", (event) => {
    if (isRun(event)) document.getElementById("run-part").classList.remove("stalled");
  });
  document.addEventListener("htmx:before:response", (event) => {
    if (!isRun(event) || event.detail.ctx.response.status < 400) return;
    event.preventDefault();
    stall();
    // Not logged in any more, or again: the whole form goes, so that what is left to do comes back with it.
    if ([400, 401].includes(event.detail.ctx.response.status)) document.getElementById("run").submit();
  });
  document.addEventListener("htmx:error", (event) => { if (isRun(event)) stall(); });

  // Categories and tags come after the list. Whoever goes on before that leaves them, which is no error to tell of.
  async function loadFacets() {
    for (const place of document.querySelectorAll("[data-facets]")) {
      const path = place.dataset.facets;
      delete place.dataset.facets;
      try {
        const answer = await fetch(path, { headers: { "HX-Request": "true" } });
        if (answer.ok) place.innerHTML = await answer.text();
      } catch { /* the list stands without them */ }
    }
  }
  document.addEventListener("DOMContentLoaded", loadFacets);
  document.addEventListener("htmx:after:swap", loadFacets);

  // Price and stock in place: the link becomes its form, Esc or its quiet button brings the row as it is stored.
  const part = (path, place) => htmx.ajax("GET", path, { target: place, swap: "innerHTML" });
  let comesBack = ""; // the cell that gets the focus when its row has come back
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.cell-edit");
    const keep = event.target.closest?.("[data-keep]");
    if (event.ctrlKey || event.metaKey || event.shiftKey || !(link || (keep && keep.closest("td")))) return;
    event.preventDefault();
    const cell = (link ?? keep).closest("td");
    comesBack = cell.id;
    part(link ? link.href : keep.dataset.keep, cell);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.target.closest?.("td .quick-form")?.querySelector("[data-keep]").click();
  });
  document.addEventListener("htmx:after:swap", () => {
    const cell = comesBack && document.getElementById(comesBack);
    const input = cell && cell.querySelector("input[name=value]");
    if (input && !input.dataset.shown) { input.dataset.shown = "yes"; input.focus(); input.select(); }
    if (cell && !input && !cell.querySelector(".quick-form")) {
      comesBack = "";
      if (document.activeElement === document.body) cell.querySelector("a.cell-edit")?.focus();
    }
  });

  // + and − may be pressed as quickly as somebody counts: what was pressed is sent together, one request at a time.
  const counting = new Map(); // by cell: what is still to be sent, and whether a request is under way
  function shownStock(cell) {
    const [, version, next] = (cell.querySelector('.step[value]:last-of-type') ?? {}).value.split(":");
    return { version, stock: Number(next) - 1 };
  }
  function show(cell, stock) { cell.querySelector(".cell-edit").textContent = stock.toLocaleString(document.documentElement.lang); }
  async function send(id) {
    const count = counting.get(id);
    const cell = document.getElementById(id);
    if (!cell || count.busy || !count.by) return;
    const { version, stock } = shownStock(cell);
    const value = Math.max(0, stock + count.by);
    Object.assign(count, { busy: true, by: 0 });
    try {
      await htmx.ajax("POST", "/products/quick", { source: document.getElementById("quick"), target: cell, swap: "innerHTML",
        values: { id: id.slice("stock-".length), version, field: "stock", value } });
    } finally { count.busy = false; }
    const now = document.getElementById(id);
    if (count.by && now?.querySelector(".step[value]")) { show(now, Math.max(0, shownStock(now).stock + count.by)); send(id); }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.step");
    if (!button) return;
    event.preventDefault();
    const cell = button.closest("td");
    const count = counting.get(cell.id) ?? { by: 0, busy: false };
    counting.set(cell.id, count);
    count.by += button.textContent === "+" ? 1 : -1;
    show(cell, Math.max(0, shownStock(cell).stock + count.by));
    clearTimeout(count.timer);
    count.timer = setTimeout(() => send(cell.id), 400);
  });

  // Notices of what was done in the list: the last three stay for a while, longer while they are looked at.
  const QUIET_MS = 20000;
  document.addEventListener("click", (event) => event.target.closest?.("[data-close-toast]")?.closest("[data-toast]").remove());
  document.addEventListener("htmx:after:swap", () => {
    const notices = [...document.querySelectorAll("[data-toast]")];
    for (const old of notices.slice(0, -3)) old.remove();
    for (const one of notices.slice(-3)) {
      if (one.dataset.toast) continue;
      one.dataset.toast = "shown";
      const leave = () => { if (one.matches(":hover, :focus-within")) setTimeout(leave, QUIET_MS); else one.remove(); };
      setTimeout(leave, QUIET_MS);
    }
  });
})();
