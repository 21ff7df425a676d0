// The first use of a term in a tab's own words is a door to the glossary.
(function () {
  "use strict";
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const plural = document.documentElement.lang === "de" ? "(?:s|n|en|e|er)?" : "s?";
  const names = Object.entries(window.svTerms).flatMap(([key, term]) => term.split(/[()]/).map((name) => [name.trim(), key]).filter(([name]) => name));
  names.sort(([a], [b]) => b.length - a.length); // “token embedding” before “token”
  const known = new RegExp(`(?<![\\p{L}\\p{N}-])(?:${names.map(([name]) => `(${escaped(name)})`).join("|")})${plural}(?![\\p{L}\\p{N}-])`, "iu");
  const done = new WeakSet();

  function mark(panel) {
    const met = new Set();
    for (const place of panel.querySelectorAll(".sv-scene-head p, .sv-note .prose p, .sv-claim")) {
      const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode, found = text.parentElement.closest("a, button, code, [translate=no]") ? null : known.exec(text.data);
        const key = found && names[found.slice(1).findIndex(Boolean)][1];
        if (!found || met.has(key)) continue;
        met.add(key);
        const rest = text.splitText(found.index);
        rest.splitText(found[0].length);
        const door = document.createElement("button");
        Object.assign(door, { type: "button", className: "sv-term", textContent: found[0] });
        door.dataset.term = key;
        rest.replaceWith(door);
        texts.currentNode = door;
      }
    }
  }
  // A tab's texts are there once it has been opened.
  function look() {
    for (const panel of document.querySelectorAll('#tabs [role="tabpanel"]:not(#tab-quiz)')) {
      if (done.has(panel) || !panel.querySelector(".sv-scene-head p")) continue;
      done.add(panel);
      mark(panel);
    }
  }
  addEventListener("sv-scenes", () => {
    look();
    new MutationObserver(() => setTimeout(look, 500)).observe(document.getElementById("tabs"), { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  });
  document.addEventListener("click", ({ target }) => {
    const term = target instanceof Element && target.closest(".sv-term");
    if (!term || window.svScenes.onStage()) return; // the glossary is read at a desk
    window.svScenes.show("quiz.glossary", false);
    window.svScenes.there("quiz.glossary").then(() => {
      const entry = document.getElementById(`term-${term.dataset.term}`);
      entry.tabIndex = -1;
      entry.scrollIntoView({ block: "center" });
      entry.focus({ preventScroll: true });
    });
  });
})();
