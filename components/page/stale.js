// A result that was drawn from another prompt than the one in its field is dimmed and says so.
(function () {
  "use strict";
  const plain = (text) => text.trim().replace(/\s+/g, " ");
  let asked = 0;
  function check() {
    asked = 0;
    let found = false;
    for (const facts of document.querySelectorAll("[data-drawn-from]")) {
      const field = document.querySelector(`#${facts.dataset.field} :is(textarea, input)`);
      const view = facts.closest('[class*="sv-view-"]');
      if (!field || !view) continue;
      const isStale = plain(field.value) !== plain(facts.dataset.drawnFrom);
      view.toggleAttribute("data-stale", isStale);
      found ||= isStale && view.offsetParent !== null;
    }
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
      if (changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.querySelector?.("[data-drawn-from]")))) soon();
    }).observe(document.body, { subtree: true, childList: true });
  });
})();
