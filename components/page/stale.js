// A result that was drawn from another prompt than the one in its field is dimmed and says so; where all of a scene
// are, its plots and pictures are dimmed, too.
(function () {
  "use strict";
  const plain = (text) => text.trim().replace(/\s+/g, " ");
  let asked = 0;
  function check() {
    asked = 0;
    let found = false;
    const scenes = new Map(); // whether all results in it are of another prompt
    for (const facts of document.querySelectorAll("[data-drawn-from]")) {
      const field = document.querySelector(`#${facts.dataset.field} :is(textarea, input)`);
      const view = facts.closest('[class*="sv-view-"]');
      if (!field || !view) continue;
      const isStale = plain(field.value) !== plain(facts.dataset.drawnFrom);
      view.toggleAttribute("data-stale", isStale);
      const scene = facts.closest(".sv-scene");
      scenes.set(scene, isStale && scenes.get(scene) !== false);
      found ||= isStale && view.offsetParent !== null;
    }
    for (const scene of document.querySelectorAll(".sv-scene")) scene.toggleAttribute("data-outdated", !!scenes.get(scene));
    said.textContent = found ? window.svStale : "";
  }
  function soon() {
    asked ||= setTimeout(check, 150);
  }
  const said = document.createElement("p");
  said.className = "sv-sr";
  said.setAttribute("role", "status");
  addEventListener("input", soon);
  addEventListener("sv-remember", soon);
  addEventListener("DOMContentLoaded", () => {
    document.body.append(said);
    document.documentElement.style.setProperty("--sv-stale", JSON.stringify(window.svStale));
    new MutationObserver((changes) => {
      if (changes.some(({ type, addedNodes }) => type === "attributes" || [...addedNodes].some((node) => node.matches?.("[data-drawn-from]") || node.querySelector?.("[data-drawn-from]")))) soon();
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-drawn-from"] });
  });
})();
