// How the pages of a class talk to the server: calls that say why they were refused, and one loop that follows what
// changes and comes back by itself after a lost network, a locked phone, or a restart of the server.
window.svClass = (function () {
  "use strict";
  const MOST_MS = 30000; // the server answers within 20 s
  const DRAWING_MS = 600000; // but what draws pictures may first have to load a model of the hub
  const pause = (ms) => new Promise((over) => setTimeout(over, ms));

  // Throws an error with `status` where the server refused, without one where it was not reached.
  async function call(address, options = {}) {
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), options.most ?? MOST_MS);
    options.signal?.addEventListener("abort", () => stop.abort());
    const headers = {};
    if (options.body) headers["content-type"] = "application/json";
    if (options.secret) headers.authorization = "Bearer " + options.secret;
    try {
      const answer = await fetch(address, {
        method: options.body ? "POST" : "GET", headers, signal: stop.signal, cache: "no-store",
        body: options.body ? JSON.stringify(options.body) : undefined,
      });
      const said = await answer.json();
      if (answer.ok) return said;
      throw Object.assign(new Error(said.message || String(answer.status)), { status: answer.status, key: said.error });
    } finally {
      clearTimeout(timer);
    }
  }

  const final = (error) => error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;

  // `ask(since, signal)` asks what is new since then; `told(answer)` hears it; `lost(error)` hears that it failed, or
  // null when it works again, and true as its second argument when it will not be tried again.
  function follow(ask, told, lost) {
    let since = "", stop = null, over = false, awake = null;
    function wake() {
      since = "";
      stop?.abort();
      awake?.();
    }
    async function run() {
      for (let failed = 0; !over;) {
        stop = new AbortController();
        const { signal } = stop;
        try {
          const answer = await ask(since, signal);
          if (over) return;
          failed = 0;
          since = String(answer.since ?? answer.version);
          lost(null);
          told(answer);
        } catch (error) {
          if (over) return;
          if (signal.aborted) continue;
          since = "";
          if (final(error)) {
            end();
            return lost(error, true);
          }
          failed += 1;
          if (failed > 1 || error.status) lost(error);
          await Promise.race([pause(Math.min(6000, 300 * 2 ** failed) * (0.5 + Math.random())), new Promise((now) => { awake = now; })]);
        }
      }
    }
    const back = () => { if (!document.hidden) wake(); };
    document.addEventListener("visibilitychange", back);
    addEventListener("online", wake);
    function end() {
      over = true;
      stop?.abort();
      document.removeEventListener("visibilitychange", back);
      removeEventListener("online", wake);
    }
    run();
    return { wake, end };
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }
  const kept = new Map(); // what a browser that forbids storage did not take: the page alone remembers it
  const shelf = {
    get(name) {
      if (kept.has(name)) return kept.get(name);
      try { return JSON.parse(localStorage.getItem("steuervektor." + name)); } catch { return null; }
    },
    set(name, value) {
      kept.delete(name);
      try { value === null ? localStorage.removeItem("steuervektor." + name) : localStorage.setItem("steuervektor." + name, JSON.stringify(value)); } catch { kept.set(name, value); }
    },
  };
  function save(blob, name) {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  // Draws, but not between press and click within a part: what is replaced meanwhile, as with each vote that comes in,
  // never hears of its click. The click follows the release at once; a finger that scrolls is released without one.
  const HOLD = 10000, CLICK = 300; // ms
  function betweenClicks(root, within, draw) {
    let until = -Infinity, later = null;
    function again() {
      clearTimeout(later);
      const wait = until - performance.now();
      later = wait > 0 ? setTimeout(again, wait) : null;
      if (wait <= 0) draw();
    }
    function end(ms) {
      until = Math.min(until, performance.now() + ms);
      if (later === null) return;
      clearTimeout(later);
      later = setTimeout(again, ms);
    }
    root.addEventListener("pointerdown", ({ target, button }) => { if (button === 0 && within(target)) until = performance.now() + HOLD; }, true);
    for (const name of ["pointerup", "pointercancel"]) (root.ownerDocument ?? root).addEventListener(name, () => end(CLICK), true);
    root.addEventListener("click", () => end(0), true);
    return again;
  }
  // Each name once, where it stands first: in "GB GB" the second is the unit.
  function say(text, values = {}) {
    const left = new Map(Object.entries(values));
    return text.replace(/[A-Z]+/g, (name) => {
      const value = left.has(name) ? left.get(name) : name;
      left.delete(name);
      return value;
    });
  }
  const letter = (place) => String.fromCharCode(65 + place);

  // Bars of one or two rounds. Of a scale they are the tenths of its range.
  function bars(poll, words) {
    const { question, counts } = poll;
    const all = counts.map((round) => round.reduce((sum, count) => sum + count, 0));
    const names = question.scale
      ? counts[0].map((_, place) => {
        const [low, high] = question.scale, step = (high - low) / counts[0].length;
        return `${+(low + place * step).toPrecision(4)}–${+(low + (place + 1) * step).toPrecision(4)} ${question.unit}`.trim();
      })
      : question.options;
    const table = make("ul", { class: "bars", "data-rounds": counts.length });
    names.forEach((name, place) => {
      const right = poll.revealed && !question.scale && question.answer === place;
      const lines = counts.map((round, number) => {
        const share = all[number] ? round[place] / all[number] : 0;
        const label = counts.length > 1 ? `${words["round_" + (number + 1)]}: ` : "";
        return make("div", { class: "bar" }, make("i", { style: `width:${(100 * share).toFixed(1)}%`, "aria-hidden": "true" }),
          make("span", {}, `${label}${round[place]} · ${Math.round(100 * share)} %`));
      });
      table.append(make("li", right ? { class: "right" } : {}, make("p", {}, make("b", {}, question.scale ? "" : letter(place) + " "),
        name, right ? make("em", {}, ` ✓ ${words.right}`) : ""), ...lines));
    });
    return table;
  }
  return { DRAWING_MS, call, follow, make, say, letter, bars, shelf, save, betweenClicks };
})();
