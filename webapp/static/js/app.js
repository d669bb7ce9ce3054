// What pages gain from a script; every one of them also works without it.
(() => {
  "use strict";
  const dialog = () => document.getElementById("dialog");
  const announce = (text) => { document.getElementById("announcements").textContent = text; };

  // Times: from UTC to the reader's own zone, with its name, as their country writes them.
  function localTimes(root) {
    const language = document.documentElement.lang;
    const locale = navigator.languages.find((one) => one.startsWith(`${language}-`)) ?? (language === "en" ? "en-GB" : language);
    const format = new Intl.DateTimeFormat(locale, {
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

  // A form that goes back to where it was typed needs nobody to press its button.
  document.addEventListener("DOMContentLoaded", () => document.querySelector("form[data-send-now]")?.requestSubmit());

  // A part of the page is refused because nobody is logged in any more: lead to the login and back, unless something
  // typed would be lost. It is kept when its form is sent.
  const isTyped = (control) => control.type === "checkbox" || control.type === "radio" ? control.checked !== control.defaultChecked
    : control.tagName === "SELECT" ? control.selectedIndex !== Math.max(0, [...control.options].findIndex((one) => one.defaultSelected))
    : "defaultValue" in control && control.type !== "hidden" && control.value !== control.defaultValue;
  const somethingIsTyped = () => [...document.querySelectorAll("main form[method=post]")].some((form) => [...form.elements].some(isTyped));
  function addressHere(source) {
    const form = source?.closest?.("form[method=get]");
    if (!form) return location.pathname + location.search;
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    return `${new URL(form.action).pathname}?${new URLSearchParams(given)}`;
  }
  document.addEventListener("htmx:before:response", (event) => {
    const { response, sourceElement } = event.detail.ctx;
    if (response.status !== 401) return;
    event.preventDefault();
    if (sourceElement?.hasAttribute?.("data-run")) return; // products.js sends the whole form
    if (!somethingIsTyped()) location.assign(`/login?next=${encodeURIComponent(addressHere(sourceElement))}`);
    else warn(document.body.dataset.loggedOut);
  });
  function warn(text) {
    const place = document.querySelector(".flashes");
    if (place.textContent.includes(text)) return null;
    const line = document.createElement("p");
    line.className = "flash flash-note";
    line.textContent = text;
    place.append(line);
    return line;
  }

  // No answer at all: what stands there is old, and says so until something new arrives.
  let offline = null;
  document.addEventListener("htmx:error", (event) => {
    const { ctx } = event.detail;
    if (ctx?.sourceElement?.matches?.("[data-live], [data-run]")) return; // they say it in their own place
    offline ??= warn(document.body.dataset.offline);
    ctx?.target?.classList.add("out-of-date");
  });
  document.addEventListener("htmx:after:swap", () => {
    offline?.remove();
    offline = null;
    for (const part of document.querySelectorAll(".out-of-date")) part.classList.remove("out-of-date");
  });

  // A drill starts only when its preflight says so.
  function followPreflight() {
    const button = document.querySelector("[data-needs-preflight]");
    if (button) button.disabled = !document.querySelector("#verdict .verdict-healthy");
  }
  document.addEventListener("DOMContentLoaded", followPreflight);
  document.addEventListener("htmx:after:swap", followPreflight);

  // The dialog: whatever arrives in it opens it; its quiet button and the backdrop close it.
  document.addEventListener("htmx:after:swap", () => {
    localTimes(document.getElementById("main"));
    if (document.getElementById("dialog-content").childElementCount && !dialog().open) dialog().showModal();
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
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

  // ? shows the keys; Ctrl-K leads to a page by some of its letters, or to a search for them. Arrows choose.
  function openTemplate(name) {
    const template = document.getElementById(name);
    if (!template || dialog().open) return;
    document.getElementById("dialog-content").replaceChildren(template.content.cloneNode(true));
    dialog().addEventListener("close", () => document.getElementById("dialog-content").replaceChildren(), { once: true });
    dialog().showModal();
    narrowPalette();
  }
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  function narrowPalette() {
    const words = document.getElementById("palette-words")?.value.trim();
    if (words === undefined) return;
    for (const link of document.querySelectorAll(".palette a")) {
      if (link.hasAttribute("data-search")) {
        link.href = `/products?go=1&search=${encodeURIComponent(words)}`;
        link.querySelector("span").textContent = words;
        link.parentElement.hidden = !words;
      } else link.parentElement.hidden = !plain(link.textContent).includes(plain(words));
    }
  }
  document.addEventListener("input", (event) => { if (event.target.id === "palette-words") narrowPalette(); });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openTemplate("palette"); }
    if (event.key === "?" && !event.target.closest("input, textarea, select, dialog")) openTemplate("keys");
    if (!event.target.closest?.("dialog:has(.palette)")) return;
    const links = [...document.querySelectorAll(".palette li:not([hidden]) a")];
    const at = links.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); (links[at + step] ?? document.getElementById("palette-words")).focus(); }
    if (event.key === "Enter" && at < 0) { event.preventDefault(); links[0]?.click(); }
  });

  // A file that is too large is refused before it is sent, however large it is.
  document.addEventListener("change", (event) => {
    const { mostBytes, tooLarge } = event.target.dataset ?? {};
    if (!mostBytes) return;
    event.target.closest("form").querySelector(".banner")?.remove();
    if (![...event.target.files].some((file) => file.size > Number(mostBytes))) return;
    event.target.value = "";
    const banner = document.createElement("div");
    banner.className = "banner banner-bad";
    banner.setAttribute("role", "alert");
    banner.textContent = tooLarge;
    event.target.closest("form").prepend(banner);
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
    const input = place.querySelector("input[type=file]");
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // What arrives later holds times, too.
  document.addEventListener("htmx:after:swap", () => localTimes(document));

  // On a phone the sections are wider than the screen: the one that is open shall be seen.
  function showSection() {
    const nav = document.querySelector(".site-nav");
    const here = nav?.querySelector("[aria-current]");
    if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
  }

  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    revealButtons();
    showSection();
  });
})();
