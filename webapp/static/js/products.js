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
})();
