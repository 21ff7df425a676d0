// What the page does outside Gradio: its language, its address, light and dark; and what views share.
// The address holds the whole state, so a link can be shared, bookmarked or opened in the other language.
(function () {
  "use strict";
  const GERMAN = /\/de\/?$/;
  const page = GERMAN.test(location.pathname) ? "de" : "en";
  const query = new URLSearchParams(location.search);
  document.documentElement.lang = page;

  // German browsers that land on "/" without having chosen a language go to the German page.
  function remembered() {
    try { return localStorage.getItem("sv-language"); } catch { return null; }
  }
  const wanted = query.get("lang") || remembered() || (navigator.language || "en").slice(0, 2);
  if (page === "en" && wanted === "de") {
    query.delete("lang");
    const rest = query.size ? "?" + query : "";
    location.replace(location.pathname.replace(/\/?$/, "/de") + rest + location.hash);
    return;
  }

  // Gradio's own words (upload areas, reset buttons) follow the browser; here they follow the page.
  for (const [name, value] of [["language", page], ["languages", [page]]]) {
    Object.defineProperty(navigator, name, { get: () => value, configurable: true });
  }

  // What it says to screen readers in English alone (`common.gradio_words`), in the page's language.
  function translate(element) {
    const label = element.getAttribute("aria-label");
    const found = window.svWords.find(([english, own]) => english !== own && label.startsWith(english));
    if (found) element.setAttribute("aria-label", found[1] + label.slice(found[0].length));
  }
  if (page !== "en") {
    new MutationObserver((changes) => {
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        if (node.hasAttribute("aria-label")) translate(node);
        node.querySelectorAll("[aria-label]").forEach(translate);
      }
    }).observe(document, { subtree: true, childList: true });
  }

  // Gradio sets the title of the first page for all of them.
  const title = window.svTitle;
  new MutationObserver(() => { if (document.title !== title) document.title = title; })
    .observe(document.head, { subtree: true, childList: true, characterData: true });

  let timer = 0;
  function publish() {
    clearTimeout(timer); // browsers limit how often an address may change
    timer = setTimeout(() => history.replaceState(history.state, "", here()), 200);
  }
  function here() {
    return location.pathname + (query.size ? "?" + query : "") + location.hash;
  }
  function keep(name, value) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  // Until the server has read the address, the bar still shows its defaults: they must not go into it.
  let restored = false;
  window.steuervektor = {
    restored(values) {
      restored = true;
      document.documentElement.dataset.restored = ""; // from here on the bar says what the address says
      this.remember(values);
    },
    remember(values) {
      if (!restored) return;
      for (const [name, value] of Object.entries(values)) keep(name, value);
      publish();
    },
    // A share as the page's language writes it: 28.1% or 28,1 %. In whole per cent, what rounds to nothing or
    // to all without being it says so. `numbers.py` writes them alike.
    percent(share, digits = 0) {
      const unit = 10 ** -digits;
      const number = share > 0 && share < unit / 200 ? `<${unit.toFixed(digits)}`
        : share >= 1 - unit / 200 && share < 1 - unit / 2000 ? `>${(100 - unit).toFixed(digits)}` : (100 * share).toFixed(digits);
      return page === "de" ? number.replace(".", ",") + "\u202f%" : number + "%";
    },
    // Numbers come as the pixels of a picture that loses nothing; this gives them back.
    async pixelsOf(source) {
      const image = new Image();
      image.src = source;
      await image.decode();
      const pen = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
      pen.drawImage(image, 0, 0);
      return pen.getImageData(0, 0, image.width, image.height);
    },
  };

  const openTabButton = () => document.querySelector('#tabs [role="tab"][aria-selected="true"]');
  function openTab() {
    const tab = openTabButton();
    return tab ? tab.id.replace(/^tab-|-button$/g, "") : null;
  }
  // On a phone the tabs are one row that scrolls.
  function centreOpenTab() {
    const tab = openTabButton(), row = tab && tab.parentElement;
    if (!row || row.scrollWidth <= row.clientWidth) return;
    const own = tab.getBoundingClientRect(), whole = row.getBoundingClientRect();
    row.scrollBy({ left: own.left + own.width / 2 - whole.left - whole.width / 2 });
  }
  new MutationObserver(centreOpenTab).observe(document.documentElement, {
    subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-restored"],
  });
  function switchLanguage(link) {
    const other = link.dataset.language;
    try { localStorage.setItem("sv-language", other); } catch { /* the address says it as well */ }
    keep("tab", openTab());
    query.set("lang", other);
    const root = location.pathname.replace(GERMAN, "/");
    link.href = (other === "de" ? root.replace(/\/?$/, "/de") : root) + "?" + query;
  }
  // The skip link leads past the tabs, too, into the one that is open.
  function enterOpenTab() {
    const panel = document.querySelector(`#${openTabButton()?.id.replace(/-button$/, "")}`);
    panel?.setAttribute("tabindex", "-1");
    panel?.focus();
    panel?.scrollIntoView({ block: "start" });
  }
  function switchTheme() {
    const dark = document.body.classList.toggle("dark");
    keep("__theme", dark ? "dark" : "light");
    publish();
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const link = target && target.closest("a[data-language]");
    if (link) return switchLanguage(link);
    if (target && target.closest("[data-theme-switch]")) return switchTheme();
    if (target && target.closest(".sv-skip")) { event.preventDefault(); return enterOpenTab(); }
    const more = target && target.closest(".sv-more-button");
    if (more) more.setAttribute("aria-expanded", String(more.getAttribute("aria-expanded") !== "true"));
    const tab = target && target.closest('#tabs [role="tab"]');
    if (tab) { // at once: what the tab asks of the server carries the address
      keep("tab", tab.id.replace(/^tab-|-button$/g, ""));
      history.replaceState(history.state, "", here());
    }
  }, true);
})();
