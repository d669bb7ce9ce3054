// The part of a page that renews itself: by a stream of events, else by asking every second. Quiet while nobody looks,
// honest when no answer comes, loud when a primary changes.
(() => {
  "use strict";
  const SILENT_MS = 4000; // the server gives a sign of life every two seconds
  const REOPEN_MS = 20000; // after there was no room for one more stream
  let live = null;
  let source = null;
  let heardAt = 0;
  let closedAt = 0;
  let primaries = new Map();

  function hear(part) {
    heardAt = performance.now();
    showAlive(true);
    if (part !== undefined) htmx.swap({ text: part, target: live, swap: "innerMorph", sourceElement: live });
  }
  function open() {
    source = new EventSource(live.getAttribute("hx-get"));
    source.addEventListener("part", (event) => hear(event.data));
    source.addEventListener("still", () => hear());
    source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) close(); });
  }
  function close() {
    source?.close();
    source = null;
    heardAt = 0;
    closedAt = performance.now();
  }
  function tick() {
    if (document.hidden) return;
    const now = performance.now();
    if (!source && now - closedAt > REOPEN_MS) open();
    if (!heardAt || now - heardAt > SILENT_MS) htmx.trigger(live, "look");
  }

  function showAlive(alive) {
    const line = document.getElementById("live");
    if (!line) return;
    const text = line.querySelector("[data-live-text]");
    line.dataset.fine ??= text.textContent;
    line.classList.toggle("live-lost", !alive);
    text.textContent = alive ? line.dataset.fine : line.dataset.lost;
  }
  function notePrimaries() {
    const now = new Map([...live.querySelectorAll("[data-set]")].map((set) => [set.dataset.set, set.dataset.primary]));
    for (const [name, member] of now) {
      if (!primaries.has(name) || primaries.get(name) === member) continue;
      const text = member ? live.dataset.newPrimary : live.dataset.noPrimary;
      document.getElementById("announcements").textContent = text.replace("{set}", name).replace("{member}", member);
      flash(document.getElementById(`set-${name}`));
    }
    primaries = now;
  }
  function flash(element) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const style = getComputedStyle(document.documentElement);
    element.animate([{ outline: `3px solid ${style.getPropertyValue("--warn")}` }, { outline: "3px solid transparent" }], 2500);
  }

  const isLive = (event) => live && event.detail?.ctx?.sourceElement === live;
  document.addEventListener("htmx:before:response", (event) => {
    // An error must not take the place of the last picture.
    if (isLive(event) && event.detail.ctx.response.status >= 400) { showAlive(false); event.preventDefault(); }
  });
  document.addEventListener("htmx:error", (event) => { if (isLive(event)) showAlive(false); });
  document.addEventListener("htmx:after:swap", (event) => {
    if (!isLive(event)) return;
    showAlive(true);
    notePrimaries();
    if (live.querySelector("[data-live-ended]")) end();
  });

  let timer = 0;
  function begin() {
    live = document.querySelector("[data-live]");
    if (!live || timer || live.querySelector("[data-live-ended]")) return;
    notePrimaries();
    open();
    timer = setInterval(tick, 1000);
  }
  function end() {
    clearInterval(timer);
    timer = 0;
    close();
  }
  document.addEventListener("DOMContentLoaded", begin);
  document.addEventListener("visibilitychange", () => { if (timer) document.hidden ? close() : source || open(); });
  window.addEventListener("pagehide", end);
  window.addEventListener("pageshow", (event) => { if (event.persisted) begin(); });
})();
