// Scenes: a heading opens one on the page; the stage shows one alone, to be gone through by key, click or swipe.
(function () {
  "use strict";
  const words = window.svStage;
  const root = document.documentElement;
  const page = () => window.steuervektor;
  const { make, say } = window.svClass;

  let known = null;
  function scenes() {
    known ??= JSON.parse(document.getElementById("sv-scenes")?.dataset.scenes || "null");
    return known || [];
  }
  const staged = () => scenes().filter((scene) => scene.stage); // what is read at a desk is not projected
  const keyOf = (element) => scenes().find((scene) => scene.id === element?.id)?.key;
  let current = null; // key of the scene that is open or on the stage
  const onStage = () => root.hasAttribute("data-stage");
  const classroom = () => window.svClassroom; // questions, phones and lessons, if there are any

  // A tab's parts are on the page as soon as it has been opened once.
  function whenThere(id, then, until = performance.now() + 20000) {
    const found = document.getElementById(id);
    if (found) return then(found);
    if (performance.now() < until) requestAnimationFrame(() => whenThere(id, then, until));
  }
  function openTab(stem) {
    const tab = page().tabs.button(stem);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }
  function expand(element, open = true) {
    element.querySelector(":scope > .sv-scene-head .sv-scene-button")?.setAttribute("aria-expanded", String(open));
    if (open) requestAnimationFrame(() => window.dispatchEvent(new Event("resize"))); // figures take the width that is there
  }
  function show(key, scroll = true) {
    const scene = scenes().find((one) => one.key === key);
    if (!scene) return;
    current = key;
    openTab(key.split(".")[0]);
    page().address({ scene: key });
    whenThere(scene.id, (element) => {
      if (current !== key) return;
      expand(element);
      if (onStage()) enter(element);
      else if (scroll) element.scrollIntoView({ block: "start" });
    });
  }

  // The stage ---------------------------------------------------------------------------------------
  const SMALLEST = 0.55, BAR = 34; // px
  const largest = () => Math.max(1.4, innerWidth / 914); // 1.4 on a projector of 1280 px, and as much on a wider one
  let bar, black, panel, watched, zoom = 1;
  let squeeze = 1; // of pictures that are as high as the window allows, where what stands around them is too high
  function button(name, sign, act) {
    const made = make("button", { type: "button", title: words[name], "aria-label": words[name] }, sign);
    made.addEventListener("click", act);
    return made;
  }
  function furnish() {
    if (bar) return;
    const place = make("span", { class: "place", role: "status" });
    bar = make("nav", { id: "sv-stage-bar", "aria-label": words.switch }, button("previous", "‹", () => move(-1)), button("next", "›", () => move(1)),
      place, button("notes", "N", () => toggle("notes")), button("speaker", "S", speak), button("keys", "?", () => toggle("keys")), button("leave", "✕", leave));
    black = make("button", { id: "sv-stage-black", type: "button", "aria-label": words.key_black, hidden: "" });
    black.addEventListener("click", () => { black.hidden = true; });
    panel = make("section", { id: "sv-stage-panel", hidden: "", tabindex: "0" });
    document.body.append(bar, black, panel);
    root.style.setProperty("--sv-covered", JSON.stringify(words.covered));
  }
  // As large as the window allows: what is too high at one size is laid out again at another. Written on the scene
  // alone: a rule for all scenes would have the whole page styled anew at each size that is tried.
  let shown = null;
  function write(scene) {
    if (shown !== scene) takeOff();
    shown = scene;
    scene.dataset.shown = "";
    scene.style.setProperty("--sv-stage-height", `${squeeze * room(scene) / zoom}px`);
    scene.style.setProperty("--sv-stage-zoom", zoom);
    scene.style.zoom = zoom;
    root.toggleAttribute("data-shrunk", zoom < 1);
  }
  function takeOff() {
    if (!shown) return;
    delete shown.dataset.shown;
    for (const name of ["--sv-stage-height", "--sv-stage-zoom", "zoom"]) shown.style.removeProperty(name);
    shown = null;
  }
  const covered = () => (document.getElementById("sv-answer")?.offsetHeight ?? -8) + 8; // by a question's answer
  const room = (scene) => innerHeight - BAR - covered() - (scene.offsetParent ? scene.getBoundingClientRect().top : 70) - 4;
  function heightAt(scene, at) {
    zoom = at;
    write(scene);
    return Math.max(...[...scene.children].map((part) => part.getBoundingClientRect().bottom)) - scene.getBoundingClientRect().top;
  }
  // Figures have a height of their own; on the stage a tall one takes a good half of the scene.
  const usual = new WeakMap();
  const heightOf = (figure) => figure.layout?.height ?? figure._fullLayout?.height; // Gradio may leave the first out
  function fitFigures(scene, space) {
    for (const figure of scene.querySelectorAll(".js-plotly-plot")) {
      const now = heightOf(figure);
      if (!now || !window.Plotly) continue;
      if (!usual.has(figure) || usual.get(figure).stage !== now) usual.set(figure, { page: now, stage: Math.min(now, Math.round(space * 0.56)) });
      const wanted = usual.get(figure).stage;
      if (wanted !== now) window.Plotly.relayout(figure, { height: wanted }).then(() => refit(scene));
    }
  }
  function freeFigures() {
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const known = usual.get(figure);
      if (known && heightOf(figure) === known.stage && known.page !== known.stage) window.Plotly.relayout(figure, { height: known.page });
      usual.delete(figure);
    }
  }
  let fitting = 0, waiting = 0, fitted = 0; // into how many px
  const ENOUGH = 0.02; // share of the space that may stay empty
  const fills = (height, space) => height <= space && height > (1 - ENOUGH) * space;
  function largestFit(scene, space) {
    let low = SMALLEST, high = largest();
    let height = heightAt(scene, high);
    if (height <= space) return high;
    for (let i = 0; i < 6 && high - low > 0.02 && !fills(height, space); i++) {
      const middle = (low + high) / 2;
      height = heightAt(scene, middle);
      if (height <= space) low = middle; else high = middle;
    }
    return low;
  }
  function fit(scene) {
    if (!onStage() || keyOf(scene) !== current || !scene.offsetParent) return;
    const space = fitted = room(scene);
    fitFigures(scene, space);
    const before = zoom;
    if (!fills(heightAt(scene, before), space)) {
      for (squeeze of [1, 0.85, 0.7, 0.55]) {
        const size = largestFit(scene, space);
        // a run that adds a line must not make the picture jump
        if (Math.abs(size - before) < 0.03 && heightAt(scene, before) <= space) break;
        if (heightAt(scene, size) <= space) break;
      }
    }
    scene.dataset.fits = String(heightAt(scene, zoom) <= space + 1);
    if (zoom !== before) window.dispatchEvent(new Event("resize"));
  }
  function refit(scene) {
    cancelAnimationFrame(fitting);
    fitting = requestAnimationFrame(() => fit(scene));
  }
  // Who walks by the arrow keys alone finds a result in each scene: one that no tab computes by itself is begun once,
  // when the tab's own run is through; never with a model of the hub, which may take minutes.
  const pressed = new Set();
  document.addEventListener("click", ({ target }) => {
    const id = target instanceof Element && target.closest("button[id]")?.id;
    if (id) pressed.add(id);
  }, true);
  const isOfHub = (name) => !(page().asked(name) || "classroom").startsWith("classroom");
  function fill(scene) {
    if ("covered" in root.dataset || classroom()?.asks()) return; // the class says first what it expects
    const { key, by } = scenes().find((one) => one.id === scene.id), button = by && document.getElementById(by);
    if (!button || button.disabled || pressed.has(by) || isOfHub("image_model") || isOfHub(`${key.split(".")[0]}.model`)) return;
    if (!scene.closest('[role="tabpanel"]').querySelector("button.stop:not([disabled])")) button.click();
  }
  function enter(scene) {
    furnish();
    zoom = squeeze = 1; // what the last scene needed is nothing to this one
    write(scene);
    scrollTo(0, 0);
    watched?.disconnect();
    watched = new ResizeObserver(() => refit(scene));
    for (const part of scene.children) watched.observe(part);
    clearInterval(waiting);
    waiting = setInterval(() => { // what no observer tells: a late figure, and a line above the scene that came or went
      fill(scene);
      const late = [...scene.querySelectorAll(".js-plotly-plot")].some((figure) => heightOf(figure) && usual.get(figure)?.stage !== heightOf(figure));
      if (late || scene.dataset.fits === "false" || Math.abs(room(scene) - fitted) > 1) refit(scene);
    }, 700);
    refit(scene);
    const all = staged(), at = all.findIndex((one) => one.key === current);
    bar.querySelector(".place").textContent = all[at] ? `${all[at].title} · ${say(words.place, { NUMBER: at + 1, COUNT: all.length })}`
      : scenes().find((one) => one.key === current).title; // one that is read at a desk
    classroom()?.entered();
    tellSpeaker();
  }
  function stage() {
    if (onStage()) return;
    root.dataset.stage = "";
    page().address({ stage: 1 });
    const tab = page().tabs.current();
    const there = staged().filter((one) => one.key.startsWith(tab + "."));
    show((there.find((one) => one.key === current) || there[0] || staged()[0])?.key);
  }
  function leave() {
    delete root.dataset.stage;
    delete root.dataset.covered;
    page().address({ stage: null });
    takeOff();
    watched?.disconnect();
    clearInterval(waiting);
    freeFigures();
    for (const part of [black, panel]) if (part) part.hidden = true;
    if (document.fullscreenElement) document.exitFullscreen();
    classroom()?.left();
    window.dispatchEvent(new Event("resize"));
    if (current) show(current);
  }
  function move(by) {
    if (!classroom()?.moved(by)) step(by);
  }
  function step(by) {
    const all = staged(), to = all.findIndex((one) => one.key === current) + by;
    if (!all[to]) return;
    if (panel) panel.hidden = true;
    show(all[to].key);
  }
  function toggle(kind) {
    const open = !panel.hidden && panel.dataset.kind === kind;
    panel.hidden = open;
    if (open) return;
    panel.dataset.kind = kind;
    panel.replaceChildren(...(kind === "keys" ? keys() : notes()));
    panel.focus({ preventScroll: true });
  }
  function keys() {
    const list = make("dl", {});
    const rows = [["→", words.key_next], ["←", words.key_previous], ["Q", words.key_question], ["R", words.key_reveal], ["J", words.key_join], ["B", words.key_black], ["N", words.key_notes],
      ["S", words.key_speaker], ["?", words.key_help], ["Esc", words.key_leave]];
    for (const [key, what] of rows) list.append(make("dt", {}, make("kbd", {}, key)), make("dd", {}, what));
    return [make("h2", {}, words.keys), list];
  }
  function notes() {
    const stem = current?.split(".")[0];
    const note = document.querySelector(`#tab-${stem}[role="tabpanel"] .sv-note .prose`);
    return note ? [...note.cloneNode(true).childNodes] : [];
  }

  // A second window for whoever speaks: it follows what is projected.
  let speaker = null, lead = null, spoke = -Infinity;
  function speak() {
    spoke = performance.now(); // browsers leave the full screen when a second window opens; the stage stays
    if (speaker && !speaker.closed) return speaker.focus(); // its clock goes on
    speaker = window.open("", "sv-speaker", "popup,width=900,height=700");
    if (!speaker) {
      panel.dataset.kind = "blocked";
      panel.replaceChildren(words.blocked);
      panel.hidden = false;
      return;
    }
    const doc = speaker.document;
    doc.documentElement.lang = root.lang;
    doc.title = words.speaker;
    doc.body.replaceChildren();
    doc.body.style.cssText = "margin:24px;font:20px/1.45 Inter,system-ui,sans-serif;max-width:60rem";
    const minutes = make("input", { type: "number", min: "1", max: "600", value: "45", "aria-label": words.time });
    minutes.style.cssText = "font:inherit;width:5em";
    const clock = make("output", {}), head = make("p", {}, `${words.time} `, minutes, " ", clock);
    let end = Date.now() + 45 * 60000;
    minutes.addEventListener("change", () => { end = Date.now() + (Number(minutes.value) || 45) * 60000; });
    speaker.setInterval(() => {
      const left = Math.round((end - Date.now()) / 1000);
      clock.textContent = `${left < 0 ? "−" : ""}${Math.floor(Math.abs(left) / 60)}:${String(Math.abs(left) % 60).padStart(2, "0")}`;
    }, 500);
    const main = make("main", { id: "now" });
    doc.body.append(head, main);
    speaker.onkeydown = (event) => { if (event.target !== minutes) keyed(event); };
    tellSpeaker();
    speaker.focus();
  }
  function tellSpeaker() {
    const main = speaker && !speaker.closed && speaker.document.getElementById("now");
    if (!main) {
      lead?.end(); // its window is closed
      lead = null;
      return;
    }
    const all = staged(), at = all.findIndex((one) => one.key === current);
    if (at < 0) return;
    const claim = document.querySelector(`#${all[at].id} > .sv-scene-head p`)?.textContent || "";
    const next = all[at + 1] ? `${words.next_up}: ${all[at + 1].title}` : words.last;
    main.replaceChildren(make("p", {}, say(words.place, { NUMBER: at + 1, COUNT: all.length })), make("h1", {}, all[at].title),
      make("p", {}, claim), make("h2", {}, next), make("div", { id: "class" }), ...notes());
    lead?.end();
    lead = classroom()?.speaker(main.querySelector("#class")) ?? null;
  }

  // Keys ----------------------------------------------------------------------------------------------
  const typing = (target) => target instanceof Element
    && target.closest('textarea, select, [contenteditable="true"], input:not([type="button"], [type="checkbox"], [type="radio"], [type="range"])');
  const moves = (target) => target instanceof Element && target.closest('input[type="range"], input[type="radio"], [role="slider"], [role="tab"], [role="listbox"], .js-plotly-plot');
  const ACTS = { r: () => classroom()?.reveal() || root.toggleAttribute("data-covered"), b: () => { black.hidden = !black.hidden; }, n: () => toggle("notes"),
    s: speak, "?": () => toggle("keys"), f: () => (document.fullscreenElement ? leave() : full()) };
  const full = () => root.requestFullscreen?.().catch(() => {}); // an embedded page may not; the stage fills its frame
  function keyed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!onStage()) {
      if (key !== "f" || typing(event.target)) return;
      event.preventDefault();
      stage();
      return full();
    }
    const by = { PageDown: 1, PageUp: -1 }[key] ?? (typing(event.target) || moves(event.target) ? undefined : { ArrowRight: 1, ArrowLeft: -1 }[key]);
    const join = document.getElementById("sv-join"); // before the stage itself
    const act = key === "Escape" ? () => (join ? join.remove() : leave()) : by ? () => move(by) : typing(event.target) ? undefined : ACTS[key] || classroom()?.keys[key];
    if (!act) return;
    event.preventDefault();
    act();
  }
  addEventListener("keydown", keyed);
  document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement && onStage() && wasFull && performance.now() - spoke > 2000) leave(); wasFull = !!document.fullscreenElement; });
  let wasFull = false;
  let touch = null;
  const scrolls = (at) => at instanceof Element && at !== root
    && ((at.scrollWidth > at.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(at).overflowX)) || scrolls(at.parentElement));
  addEventListener("touchstart", (event) => { // two fingers enlarge; one scrolls an enlarged page, and what is wider than its place
    const one = event.touches.length === 1 && (window.visualViewport?.scale ?? 1) < 1.01;
    touch = onStage() && one && !moves(event.target) && !scrolls(event.target) ? event.changedTouches[0] : null;
  }, { passive: true });
  addEventListener("touchend", (event) => {
    if (!touch) return;
    const x = event.changedTouches[0].clientX - touch.clientX, y = event.changedTouches[0].clientY - touch.clientY;
    touch = null;
    if (Math.abs(x) > 80 && Math.abs(x) > 2 * Math.abs(y)) move(x < 0 ? 1 : -1);
  }, { passive: true });
  addEventListener("resize", () => {
    const scene = onStage() && document.getElementById(scenes().find((one) => one.key === current)?.id);
    if (scene) refit(scene);
  });

  // Headings, the switch, and what the address asks for -------------------------------------------------
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const heading = target?.closest(".sv-scene-button");
    if (heading) {
      const scene = heading.closest(".sv-scene"), open = heading.getAttribute("aria-expanded") !== "true";
      expand(scene, open);
      if (open) current = keyOf(scene);
      page().address({ scene: open ? current : null });
    }
    if (target?.closest("[data-stage-switch]")) {
      stage();
      full();
    }
    const tab = target?.closest('#tabs [role="tab"]');
    const stem = page().tabs.stem(tab);
    if (tab && current && !current.startsWith(stem + ".")) {
      current = null;
      page().address({ scene: null });
    }
  });
  window.svScenes = { all: scenes, staged, current: () => current, onStage, show, step, enter: stage, leave, tellSpeaker,
    there: (key) => new Promise((then) => { whenThere(scenes().find((one) => one.key === key).id, then); }) };
  let begun = false;
  new MutationObserver(() => {
    if (begun || !("restored" in root.dataset) || !scenes().length) return;
    begun = true;
    if (page().asked("scenes") === "open") root.dataset.open = "";
    const asked = page().asked("scene");
    const there = scenes().some((scene) => scene.key === asked);
    if (asked && !there) page().tell(say(words.unknown, { SCENE: asked.slice(0, 60) }));
    if (page().asked("stage")) root.dataset.stage = "";
    if (there && (!onStage() || staged().some((scene) => scene.key === asked))) show(asked);
    else if (onStage()) { delete root.dataset.stage; stage(); }
    dispatchEvent(new Event("sv-scenes"));
  }).observe(root, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-restored"] });
})();
