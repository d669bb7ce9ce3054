// The values of a picture, read with the arrow keys, the pointer or a finger. Without a script the table behind it has
// them, and the browser shows them below the pointer.
(() => {
  "use strict";
  const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
  const spotsOf = (picture) => [...picture.querySelectorAll(".spot")];
  const textOf = (spot) => spot.querySelector("title").textContent;

  function prepare(picture) {
    const spots = spotsOf(picture);
    if (picture.hasAttribute("tabindex") || spots.length === 0) return;
    picture.removeAttribute("aria-hidden");
    for (const [name, value] of Object.entries({ tabindex: 0, role: "slider", "aria-valuemin": 1, "aria-valuemax": spots.length })) {
      picture.setAttribute(name, value);
    }
    choose(picture, spots.length - 1);
  }
  function choose(picture, place) {
    picture.setAttribute("aria-valuenow", place + 1);
    picture.setAttribute("aria-valuetext", textOf(spotsOf(picture)[place]));
  }
  const chosen = (picture) => Number(picture.getAttribute("aria-valuenow")) - 1;

  // The line lies over what is below the picture, so that nothing moves when it comes.
  function show(picture, place) {
    hide(picture);
    const spot = spotsOf(picture)[place];
    const line = document.createElement("p");
    spot.classList.add("is-read");
    line.className = "reading";
    line.setAttribute("aria-hidden", "true"); // the slider's value says it
    line.textContent = textOf(spot);
    picture.parentElement.append(line);
  }
  function hide(picture) {
    picture.parentElement.querySelector(":scope > .reading")?.remove();
    picture.querySelector(".is-read")?.classList.remove("is-read");
  }
  function prepareAll() {
    for (const picture of document.querySelectorAll("svg[data-reading]")) prepare(picture);
  }

  const pictureOf = (event) => event.target.closest?.("svg[data-reading][tabindex]");
  document.addEventListener("keydown", (event) => {
    const picture = pictureOf(event);
    if (!picture || event.ctrlKey || event.altKey || event.metaKey) return;
    const spots = spotsOf(picture);
    if (event.key in KEYS) {
      event.preventDefault();
      choose(picture, Math.min(spots.length - 1, Math.max(0, chosen(picture) + KEYS[event.key])));
      show(picture, chosen(picture));
    } else if (event.key === "Enter" && spots[chosen(picture)].dataset.href) {
      location.assign(spots[chosen(picture)].dataset.href);
    } else if (event.key === "Escape") hide(picture);
  });
  document.addEventListener("focusin", (event) => {
    const picture = pictureOf(event);
    if (picture?.matches(":focus-visible")) show(picture, chosen(picture));
  });
  document.addEventListener("pointerover", (event) => {
    const picture = pictureOf(event);
    if (picture && event.target.matches(".spot")) show(picture, spotsOf(picture).indexOf(event.target));
  });
  for (const left of ["focusout", "pointerout"]) {
    document.addEventListener(left, (event) => { const picture = pictureOf(event); if (picture) hide(picture); });
  }
  document.addEventListener("click", (event) => {
    const { href } = event.target.closest?.(".spot")?.dataset ?? {};
    if (href) location.assign(href);
  });
  document.addEventListener("DOMContentLoaded", prepareAll);
  document.addEventListener("htmx:after:swap", prepareAll);
})();
