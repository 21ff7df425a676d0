// Tabs by keyboard (WAI-ARIA Authoring Practices, "Tabs"), and on a phone the result of a button comes into view.
(function () {
  "use strict";
  const tabs = () => [...document.querySelectorAll('#tabs [role="tab"]')].filter((tab) => tab.offsetParent)
    .map((tab, at) => [Number(getComputedStyle(tab).order), at, tab]) // two rows: `order` tells what is seen first
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , tab]) => tab);

  // One of them can be reached by Tab: the open one.
  function rove() {
    for (const tab of document.querySelectorAll('#tabs [role="tab"]')) {
      const index = tab.getAttribute("aria-selected") === "true" ? "0" : "-1";
      if (tab.getAttribute("tabindex") !== index) tab.setAttribute("tabindex", index);
    }
  }
  new MutationObserver(rove).observe(document.documentElement, {
    subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-restored"],
  });

  document.addEventListener("keydown", (event) => {
    const tab = event.target instanceof Element && event.target.closest('#tabs [role="tab"]');
    if (!tab || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = tabs(), now = all.indexOf(tab), count = all.length;
    const to = { ArrowRight: (now + 1) % count, ArrowLeft: (now + count - 1) % count, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[to].click();
    all[to].focus();
  });

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const narrow = matchMedia("(max-width: 700px)");
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest(".sv-tab button.primary");
    if (!button || !narrow.matches) return;
    const views = button.closest('[role="tabpanel"]').querySelectorAll('[class*="sv-view-"]');
    const result = [...views].find((view) => view.offsetHeight > 40
      && button.compareDocumentPosition(view) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (!result) return;
    const box = result.getBoundingClientRect();
    if (box.top + Math.min(box.height, 240) > innerHeight || box.top < 0) {
      result.scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
    }
  });
})();
