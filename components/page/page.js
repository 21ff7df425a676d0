// What the page does outside Gradio: its language, its address, light and dark; and what views share.
// The address holds the whole state, so a link can be shared, bookmarked or opened in the other language.
(function () {
  "use strict";
  const GERMAN = /\/de\/?$/;
  const page = GERMAN.test(location.pathname) ? "de" : "en";
  const query = new URLSearchParams(location.search);
  document.documentElement.lang = page;

  // Behind a proxy the server knows neither its host nor its folder, unless it is told; the browser knows both.
  const root = location.origin + location.pathname.replace(GERMAN, "").replace(/\/$/, "");
  // Svelte wraps every plain list and object of the configuration to notice changes, which there are none of, and Gradio
  // looks for each component in each event, twice: a fifth of the time until a page has come. Other lists it leaves as they are.
  class Unchanging extends Array {}
  let config;
  Object.defineProperty(window, "gradio_config", {
    get: () => config,
    set: (given) => {
      const [components, dependencies] = [given.components, given.dependencies].map((list) => Unchanging.from(list));
      config = { ...given, root, components, dependencies };
    },
    configurable: true,
  });

  // German browsers that land on "/" without having chosen a language go to the German page.
  function remembered() {
    try { return localStorage.getItem("sv-language"); } catch { return null; }
  }
  const wanted = query.get("lang") || remembered() || (navigator.language || "en").slice(0, 2);
  // A place in the history keeps the language it was seen in: who goes back there means that page.
  if (page === "en" && wanted === "de" && history.state?.language !== page) {
    query.delete("lang");
    const rest = query.size ? "?" + query : "";
    location.replace(location.pathname.replace(/\/?$/, "/de") + rest + location.hash);
    return;
  }
  history.replaceState({ ...history.state, language: page }, "");

  // Gradio's own words (upload areas, reset buttons) follow the browser; here they follow the page.
  for (const [name, value] of [["language", page], ["languages", [page]]]) {
    Object.defineProperty(navigator, name, { get: () => value, configurable: true });
  }

  // What it says in English alone, to screen readers (`common.gradio_words`) and in its messages
  // (`common.gradio_messages`: titles, and sentences, after which only details follow), in the page's language.
  function translate(element) {
    const label = element.getAttribute("aria-label");
    const found = window.svWords.find(([english, own]) => english !== own && label.startsWith(english));
    if (found) element.setAttribute("aria-label", found[1] + label.slice(found[0].length));
  }
  function translateMessage(message) {
    const texts = document.createTreeWalker(message, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode, said = text.data.trim();
      const found = window.svMessages.find(([english, own]) =>
        english !== own && (said === english || (/[.!]$/.test(english) && said.startsWith(english))));
      if (found) text.data = found[1];
    }
  }
  if (page !== "en") {
    new MutationObserver((changes) => {
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        if (node.hasAttribute("aria-label")) translate(node);
        node.querySelectorAll("[aria-label]").forEach(translate);
        const message = node.closest(".toast-body");
        for (const found of message ? [message] : node.querySelectorAll(".toast-body")) translateMessage(found);
      }
    }).observe(document, { subtree: true, childList: true });
  }

  // Gradio's own parts that show what a model reads: a browser that translates the page leaves them alone. In a
  // plot a translated text would even vanish, because browsers put an HTML element into it.
  const UNTRANSLATED = "textarea, .sv-plot, .sv-chip, ul.options, #embedding-moved";
  new MutationObserver((changes) => {
    for (const node of changes.flatMap((change) => [...change.addedNodes])) {
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      if (node.matches(UNTRANSLATED)) node.translate = false;
      for (const inner of node.querySelectorAll(UNTRANSLATED)) inner.translate = false;
      // What is wider than a phone scrolls, by keyboard, too.
      if (node.matches(".sv-wide")) node.tabIndex = 0;
      for (const inner of node.querySelectorAll(".sv-wide")) inner.tabIndex = 0;
    }
  }).observe(document, { subtree: true, childList: true });

  // Gradio's clock of a waiting component asks for every frame, also where it is not shown, and some never stop: a
  // page at rest took a tenth of a core for it. Four times a second is enough to read tenths by.
  const frame = window.requestAnimationFrame.bind(window);
  const isClock = (act) => /^\(\) ?=> ?\{\w+\(\w+, ?\(performance\.now\(\) ?- ?\w+\(\w+\)\) ?\/ ?1e3\)/.test(Function.prototype.toString.call(act));
  window.requestAnimationFrame = (act) => (isClock(act) ? setTimeout(() => act(performance.now()), 250) : frame(act));

  // A server that no longer answers gets one message; the page loads itself anew as soon as it is back, and also
  // where another has taken its place in the meantime, which knows nothing of this page.
  const ask = window.fetch.bind(window);
  let leaving = false, checking = false, beat = null;
  // What ran when the connection broke, as on a phone that was locked, is begun anew: the same seed, the same result.
  // A page that is loaded again does by itself what it had done by itself; the last button is pressed for the visitor.
  const STOP = "button.stop:not([disabled])";
  const ROW = ':is(#journey-video, #journey-audio) [data-state="waiting"]:is([data-asked], :has(.reel, .heat))';
  let pressed = null; // the button that began the last run
  addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest(".sv-scene button[id]:not(.stop)");
    if (button?.id) pressed = button;
  }, true);
  const unfinished = () => document.querySelector(`${STOP}, ${ROW}`);
  function again() {
    const runs = pressed?.isConnected && pressed.closest(".sv-scene").querySelector(STOP);
    try { if (runs) sessionStorage.setItem("sv-again", pressed.id); } catch { /* then it is begun by hand */ }
    location.reload();
  }
  function beginAgain() {
    let id = null;
    try {
      id = sessionStorage.getItem("sv-again");
      sessionStorage.removeItem("sv-again");
    } catch { /* see above */ }
    // What the tab computes by itself when it opens comes first: it would take the place of the run.
    const look = (until, quiet = 0) => {
      const button = document.getElementById(id);
      const busy = !button || button.disabled || button.closest('[role="tabpanel"]').querySelector(STOP);
      if (!busy && quiet === 3) return button.click();
      if (performance.now() < until) setTimeout(look, 500, until, busy ? 0 : quiet + 1);
    };
    if (id) look(performance.now() + 60000);
  }
  // Gradio breaks its connections as soon as a page is about to be left, and the next one may take its time to come:
  // neither this script nor Gradio, which asks whether the server is back, may load the old one anew until then.
  const COMES = 30000; // ms; by then the visitor has stayed
  let stays = 0;
  addEventListener("beforeunload", () => {
    const ran = unfinished(); // what has begun since is whole
    leaving = true;
    clearTimeout(stays);
    stays = setTimeout(() => { leaving = false; check(() => ran); }, COMES);
  });
  addEventListener("pagehide", () => { leaving = true; });
  addEventListener("pageshow", ({ persisted }) => {
    leaving = false;
    clearTimeout(stays);
    if (persisted) check(); // by Back: its connections were broken when it was left
  });
  function alarm(text, name) {
    const message = document.createElement("p");
    message.className = name;
    message.setAttribute("role", "alert");
    message.textContent = text;
    document.body.append(message);
  }
  async function check(runs = unfinished) {
    if (leaving || checking) return;
    checking = true;
    const answer = await ask(`${root}/gradio_api/app_id`).then((a) => (a.ok ? a.json() : null), () => null);
    checking = false;
    if (leaving) return;
    const isLost = "lost" in document.documentElement.dataset;
    if (answer && (isLost || runs() || String(answer.app_id) !== String(config.app_id))) return again();
    if (answer) return void (beat && window.fetch(beat).catch(() => {})); // so that the server knows of this page
    if (!isLost) {
      alarm(window.svHints.lost, "sv-lost");
      document.documentElement.dataset.lost = "";
    }
    setTimeout(check, 2000);
  }
  window.fetch = async (...request) => {
    const address = String(request[0]?.url ?? request[0]);
    if (leaving && address.endsWith("/app_id")) throw new TypeError("this page is being left");
    try {
      const response = await ask(...request);
      if (address.includes("/heartbeat/")) beat = address;
      if (beat === address) response.clone().body?.pipeTo(new WritableStream()).then(() => check(), () => check());
      return response;
    } catch (error) {
      if (error.name !== "AbortError" && address.startsWith(root)) check();
      throw error;
    }
  };

  // Gradio may draw the header and the bar a frame after what stands below them, which would jump; the rules hide that
  // until then. It may also draw all of it twice, so this is watched until the page has come.
  const SEEN = ["#sv-header .sv-brand", "#prompt textarea", "#words-known", "#prompt-examples button", '#tabs [role="tabpanel"] .sv-head'];
  const drawn = new MutationObserver(() => {
    const { dataset } = document.documentElement, come = "restored" in dataset;
    document.documentElement.toggleAttribute("data-header", come || SEEN.every((part) => document.querySelector(part)));
    if (come) drawn.disconnect();
  });
  drawn.observe(document.documentElement, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-restored"] });

  // Over HTTP/1.1 all tabs of a browser share six connections to a server, and each holds two as long as it is open.
  // A tab that still waits for its first values then asks which others there are, and says so.
  const PATIENCE = 8000; // ms
  const CROWD = 3; // other tabs that hold all of the six
  let tabsOfBrowser = null; // refused where cookies are; then nobody counts the tabs
  try { tabsOfBrowser = new BroadcastChannel("steuervektor"); } catch { /* see above */ }
  let waiting = false, others = 0;
  tabsOfBrowser?.addEventListener("message", ({ data }) => {
    if (data === "who is there?") tabsOfBrowser.postMessage("a tab");
    else if (waiting && ++others === CROWD) alarm(window.svHints.crowded, "sv-lost sv-crowded");
  });
  setTimeout(() => {
    waiting = !("restored" in document.documentElement.dataset);
    if (waiting) tabsOfBrowser?.postMessage("who is there?");
  }, PATIENCE);
  function served() {
    waiting = false;
    document.querySelector(".sv-crowded")?.remove();
  }

  // A number that is out of its range, or none at all, goes nowhere while it is typed; whoever leaves the field
  // finds the nearest one there, and is told.
  const lastNumbers = new WeakMap();
  let mending = false;
  const numberField = (event) => event.target instanceof HTMLInputElement && event.target.type === "number";
  const fits = (field) => field.value !== "" && !field.validity.rangeUnderflow && !field.validity.rangeOverflow;
  function hint(field, text) {
    const block = field.closest(".block");
    let place = block?.querySelector(".sv-hint");
    if (!place && text) {
      place = document.createElement("p");
      place.className = "sv-hint";
      place.setAttribute("role", "status");
      block?.append(place);
    }
    if (place) place.textContent = text;
  }
  function rangeOf(field) {
    const { number, range } = window.svHints;
    return field.min === "" || field.max === "" ? number : range.replace("LOW", field.min).replace("HIGH", field.max);
  }
  addEventListener("focusin", (event) => {
    if (numberField(event) && fits(event.target)) lastNumbers.set(event.target, event.target.value);
  }, true);
  addEventListener("input", (event) => {
    const field = event.target;
    if (!numberField(event) || mending) return;
    hint(field, fits(field) ? "" : rangeOf(field));
    if (fits(field)) return void lastNumbers.set(field, field.value);
    event.stopImmediatePropagation();
  }, true);
  addEventListener("change", (event) => {
    const field = event.target;
    if (!numberField(event) || fits(field)) return;
    field.value = field.value === "" ? lastNumbers.get(field) ?? field.min
      : field.validity.rangeUnderflow ? field.min : field.max;
    mending = true;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    mending = false;
  }, true);
  // Browsers that count in another language than the page drop the comma of "0,5" and read 5.
  addEventListener("keydown", (event) => {
    if (event.key !== "," || !numberField(event) || Intl.NumberFormat().format(0.5).includes(",")) return;
    event.preventDefault();
    document.execCommand("insertText", false, ".");
  }, true);

  // Gradio sets the title of the first page for all of them.
  const title = window.svTitle;
  new MutationObserver(() => { if (document.title !== title) document.title = title; })
    .observe(document.head, { subtree: true, childList: true, characterData: true });

  let timer = 0;
  function publishNow() {
    clearTimeout(timer);
    timer = 0;
    if (here() !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", here());
  }
  function publish() {
    timer ||= setTimeout(publishNow, 350); // browsers limit how often an address may change; a film that plays tells its frame often
  }
  function here() {
    return location.pathname + (query.size ? "?" + query : "") + location.hash;
  }
  function keep(name, value) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  // Gradio tells of what is typed, but not once it has noticed that the server is gone; what was typed then comes back, too.
  addEventListener("input", ({ target }) => {
    if (!restored || !(target instanceof Element) || !target.closest("#prompt")) return;
    keep("prompt", target.value);
    publish();
  });
  // Until the server has read the address, the bar still shows its defaults: they must not go into it.
  let restored = false;
  window.steuervektor = {
    /** The tabs' buttons, which Gradio names after their stems. */
    tabs: {
      button: (stem) => document.getElementById(`tab-${stem}-button`),
      stem: (button) => button?.id.replace(/^tab-|-button$/g, "") ?? null,
      open: () => document.querySelector('#tabs [role="tab"][aria-selected="true"]'),
      /** Stem of the open one; null before there is one. */
      current: () => window.steuervektor.tabs.stem(window.steuervektor.tabs.open()),
    },
    /** The page has come as the address asks, but for models and tabs' own controls, which the server reads. */
    opened(values) {
      const comes = [...query].some(([name, text]) => name.includes(".") || (name in values && String(values[name]) !== text));
      if (!comes) this.restored(values);
    },
    restored(values) {
      restored = true;
      served();
      beginAgain();
      document.documentElement.dataset.restored = ""; // from here on the bar says what the address says
      this.remember(values);
    },
    remember(values) {
      if (!restored) return;
      for (const [name, value] of Object.entries(values)) keep(name, value);
      publish();
      dispatchEvent(new Event("sv-remember"));
    },
    // The tabs' own controls stand in the address where they differ from their defaults.
    rememberControls(named, values) {
      if (!restored) return;
      named.forEach(([name, usual], i) => keep(name, String(values[i]) === String(usual) ? null : values[i]));
      publish();
    },
    // What the address says besides the bar; `null` takes it out.
    address(values) {
      for (const [name, value] of Object.entries(values)) keep(name, value);
      publish();
    },
    asked: (name) => query.get(name),
    root,
    // Write into a field as a visitor would: Gradio hears of it.
    write(field, text) {
      Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
      field.dispatchEvent(new Event("input", { bubbles: true }));
    },
    // Take what a query says, as if the page had been opened by it; done when the page says the same.
    take(asked) {
      const field = document.querySelector("#sv-door textarea, #sv-door input");
      if (!field) return Promise.resolve();
      return new Promise((done) => {
        addEventListener("sv-taken", done, { once: true });
        this.write(field, `${asked}&at=${Date.now()}`); // the same door twice is taken twice
        setTimeout(done, 5000);
      });
    },
    // A whole number the address asks for, within a range; otherwise what is usual.
    askedNumber(name, low, high, usual) {
      const text = query.get(name), number = Number(text);
      return text !== null && text !== "" && Number.isInteger(number) && number >= low && number <= high ? number : usual;
    },
    // One calm sentence in the corner; it goes by itself.
    tell(text) {
      const message = document.createElement("p");
      message.className = "sv-lost";
      message.setAttribute("role", "alert");
      message.textContent = text;
      (document.querySelector("dialog[open]") ?? document.body).append(message); // a dialog covers what is outside
      message.addEventListener("click", () => message.remove());
      setTimeout(() => message.remove(), 12000);
    },
    // A share as the page's language writes it: 28.1% or 28,1 %. In whole per cent, what rounds to nothing or
    // to all without being it says so. `numbers.py` writes them alike.
    percent(share, digits = 0) {
      const unit = 10 ** -digits;
      const number = share > 0 && share < unit / 200 ? `<${unit.toFixed(digits)}`
        : share >= 1 - unit / 200 && share < 1 - unit / 2000 ? `>${(100 - unit).toFixed(digits)}` : (100 * share).toFixed(digits);
      return page === "de" ? number.replace(".", ",") + "\u202f%" : number + "%";
    },
    // A sentence's places, as in "step {step}", with what stands there; those without a value stay.
    fill: (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole),
    el(tag, name, text, attributes = {}) {
      const node = document.createElement(tag);
      if (name) node.className = name;
      if (text !== undefined) node.textContent = text;
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    },
    // Words that a model reads, within a sentence: what `say` writes between the isolates, no browser translates.
    quote: (text) => "\u2068" + text + "\u2069",
    say(place, sentence) {
      place.replaceChildren(...sentence.split(/\u2068(.*?)\u2069/s).map((part, i) => {
        if (i % 2 === 0) return document.createTextNode(part);
        return Object.assign(document.createElement("bdi"), { textContent: part, translate: false });
      }));
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

  const { tabs } = window.steuervektor;
  // Each tab that is opened is a place in the history; the bar says the same in all of them.
  function enterTab(stem) {
    if (stem === tabs.current()) return;
    publishNow();
    keep("tab", stem);
    history.pushState(history.state, "", here());
  }
  let returning = false;
  addEventListener("popstate", () => {
    const first = document.querySelector('#tabs [role="tab"]');
    const stem = new URLSearchParams(location.search).get("tab");
    const tab = tabs.button(stem) || first;
    keep("tab", stem);
    publishNow();
    returning = true;
    tab?.click();
    returning = false;
  });
  function switchLanguage(link) {
    const other = link.dataset.language;
    try { localStorage.setItem("sv-language", other); } catch { /* the address says it as well */ }
    keep("tab", tabs.current());
    query.delete("lang");
    publishNow(); // whoever comes back finds the page as it is now
    const there = new URLSearchParams(query);
    there.set("lang", other);
    link.href = root + (other === "de" ? "/de?" : "/?") + there;
  }
  // Files come from where the page comes from, whatever host the server takes itself for.
  function fetchFromHere(link) {
    const path = /\/gradio_api\/file=.*/.exec(link.href);
    if (path) link.href = root + path[0];
  }
  // The skip link leads past the tabs, too, into the one that is open.
  function enterOpenTab() {
    const panel = document.querySelector(`#${tabs.open()?.id.replace(/-button$/, "")}`);
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
    const file = target && target.closest("a[download]");
    if (file) return fetchFromHere(file);
    if (target && target.closest("[data-theme-switch]")) return switchTheme();
    if (target && target.closest(".sv-skip")) { event.preventDefault(); return enterOpenTab(); }
    const more = target && target.closest(".sv-more-button");
    if (more) more.setAttribute("aria-expanded", String(more.getAttribute("aria-expanded") !== "true"));
    const tab = target && target.closest('#tabs [role="tab"]');
    if (tab && !returning) enterTab(tabs.stem(tab)); // at once: the tab's calls carry the address
  }, true);
})();
