// What pages gain from a script; every one of them also works without it.
(() => {
  "use strict";
  const dialog = () => document.getElementById("dialog");
  const announce = (text) => { document.getElementById("announcements").textContent = text; };

  // Times: from UTC to the reader's own zone, with its name.
  function localTimes(root) {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, {
      year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
    });
    for (const time of root.querySelectorAll("time[data-local-time]")) {
      time.textContent = format.format(new Date(time.dateTime));
    }
  }

  // Passwords can be looked at.
  function revealButtons() {
    for (const button of document.querySelectorAll("[data-reveal]")) {
      const input = document.getElementById(button.dataset.reveal);
      const showLabel = button.textContent;
      button.hidden = false;
      button.addEventListener("click", () => {
        const shown = input.type === "password";
        input.type = shown ? "text" : "password";
        button.setAttribute("aria-pressed", String(shown));
        button.textContent = shown ? button.dataset.hideLabel : showLabel;
        input.focus();
      });
    }
  }

  // A form is sent once, however often the button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    setTimeout(() => { delete form.dataset.sent; }, 10000);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // The dialog: whatever arrives in it opens it; its quiet button and the backdrop close it.
  document.addEventListener("htmx:after:swap", () => {
    if (document.getElementById("dialog-content").childElementCount && !dialog().open) dialog().showModal();
  });
  document.addEventListener("click", (event) => {
    const menu = document.querySelector("details[data-menu][open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
    if (event.target === dialog() || event.target.closest("[data-close-dialog]")) {
      if (!dialog().open) return;
      event.preventDefault();
      dialog().close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details[data-menu][open]");
    if (event.key === "Escape" && menu) { menu.open = false; menu.querySelector("summary").focus(); }
    if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) {
      const search = document.getElementById("search");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  // A file may be dropped where it may be chosen.
  document.addEventListener("dragover", (event) => {
    const place = event.target.closest?.("[data-drop]");
    if (place) { event.preventDefault(); place.classList.add("over"); }
  });
  document.addEventListener("dragleave", (event) => event.target.closest?.("[data-drop]")?.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    const place = event.target.closest?.("[data-drop]");
    if (!place) return;
    event.preventDefault();
    place.classList.remove("over");
    place.querySelector("input[type=file]").files = event.dataTransfer.files;
  });

  // The live picture: quiet while nobody looks, honest when no answer comes, loud when a primary changes.
  let primaries = new Map();
  function notePrimaries(live) {
    const now = new Map([...live.querySelectorAll("[data-set]")].map((set) => [set.dataset.set, set.dataset.primary]));
    for (const [name, member] of now) {
      if (!primaries.has(name) || primaries.get(name) === member) continue;
      const text = member ? live.dataset.newPrimary : live.dataset.noPrimary;
      announce(text.replace("{set}", name).replace("{member}", member));
      const section = document.getElementById(`set-${name}`);
      section.classList.remove("changed");
      void section.offsetWidth;
      section.classList.add("changed");
    }
    primaries = now;
  }
  function showLive(alive) {
    const line = document.getElementById("live");
    if (!line) return;
    const text = line.querySelector("[data-live-text]");
    line.dataset.fine ??= text.textContent;
    line.classList.toggle("live-lost", !alive);
    text.textContent = alive ? line.dataset.fine : line.dataset.lost;
  }
  const isLive = (event) => event.detail?.ctx?.sourceElement?.hasAttribute?.("data-live");
  document.addEventListener("htmx:config:request", (event) => {
    if (isLive(event) && document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:before:response", (event) => {
    // An error must not take the place of the last picture.
    if (isLive(event) && event.detail.ctx.response.status >= 400) { showLive(false); event.preventDefault(); }
  });
  document.addEventListener("htmx:error", (event) => { if (isLive(event)) showLive(false); });
  document.addEventListener("htmx:after:swap", (event) => {
    const live = document.querySelector("[data-live]");
    if (live && isLive(event)) { showLive(true); notePrimaries(live); }
  });

  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    revealButtons();
    const live = document.querySelector("[data-live]");
    if (live) notePrimaries(live);
  });
})();
