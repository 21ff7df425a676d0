// Results as one file that opens without the app and without a network: a journey, or all scenes of a lesson.
(function () {
  "use strict";
  const words = window.svLesson;
  const { make, say, save } = window.svClass;
  const lang = document.documentElement.lang;
  const pause = (ms) => new Promise((go) => { setTimeout(go, ms); });
  const stage = () => window.svScenes;

  const asData = async (address) => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(address);
    const blob = await answer.blob();
    return new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.readAsDataURL(blob);
    });
  };
  // A part of the page as it stands: what is painted becomes a picture, what lies elsewhere comes along.
  async function copyOf(part) {
    const copy = part.cloneNode(true);
    const pairs = (selector) => [...part.querySelectorAll(selector)].map((from, place) => [from, copied[selector][place]]);
    const copied = Object.fromEntries(["canvas", "input", "textarea", "select", "img, video, audio"].map((selector) => [selector, [...copy.querySelectorAll(selector)]]));
    for (const [from, to] of pairs("input")) {
      to.setAttribute("value", from.value);
      to.toggleAttribute("checked", from.checked);
    }
    for (const [from, to] of pairs("textarea")) to.textContent = from.value;
    for (const [from, to] of pairs("select")) [...to.options].forEach((option, place) => option.toggleAttribute("selected", place === from.selectedIndex));
    for (const [from, to] of pairs("canvas")) {
      const picture = make("img", { src: from.toDataURL(), class: from.className || null, style: from.getAttribute("style"), alt: from.getAttribute("aria-label") || "" });
      picture.style.width ||= `${from.clientWidth}px`;
      to.replaceWith(picture);
    }
    for (const [from, to] of pairs("img, video, audio")) {
      const address = from.currentSrc || from.src;
      if (address && !address.startsWith("data:")) to.setAttribute("src", await asData(address));
    }
    for (const idle of copy.querySelectorAll("script, .sv-share, [aria-live] .eta-bar")) idle.remove();
    for (const link of copy.querySelectorAll("a[href]")) link.removeAttribute("href");
    return copy;
  }
  // Rules of the page name what stands around a part, so that comes along, empty.
  function within(part, copy) {
    let inner = copy;
    for (let around = part.parentElement; around && around !== document.body; around = around.parentElement) {
      const shell = around.cloneNode(false);
      shell.removeAttribute("hidden");
      shell.append(inner);
      inner = shell;
    }
    return inner;
  }
  // All rules of the page, with the fonts in them.
  async function rules() {
    const found = [...document.styleSheets].flatMap((sheet) => {
      try { return [...sheet.cssRules]; } catch { return []; } // of another origin
    });
    const texts = found.map(async (rule) => {
      const address = rule instanceof CSSFontFaceRule && rule.style.getPropertyValue("src").match(/url\("?([^")]+)/)?.[1];
      return address ? rule.cssText.replace(address, await asData(new URL(address, rule.parentStyleSheet.href || document.baseURI)).catch(() => "")) : rule.cssText;
    });
    return (await Promise.all(texts)).join("\n");
  }

  const OWN = `body { margin: 0; } .sv-recorded { display: flex; flex-wrap: wrap; gap: 0 18px; align-items: center; padding: 4px 16px; font: 16px/1.3 Inter, system-ui, sans-serif;
    color: #1b1f24; background: #ffe08a; } .sv-recorded a { color: inherit; } .sv-recorded button { font: 600 20px/1 Inter, system-ui, sans-serif; color: inherit; width: 52px; height: 34px; border: 1.5px solid; border-radius: 8px; background: none; }
    .sv-journey { max-width: 1280px; margin: 0 auto; padding: 0 20px 40px; font: 18px/1.4 Inter, system-ui, sans-serif; }
    .sv-scene :is(button, input, textarea, select, a, summary) { pointer-events: none; } .sv-slide[hidden] { display: none !important; }`;
  const TURN = `{ const slides = [...document.querySelectorAll(".sv-slide")]; let at = 0;
    const show = (by) => { at = Math.min(Math.max(0, at + by), slides.length - 1); slides.forEach((slide, place) => { slide.hidden = place !== at; });
      document.querySelector("[data-place]").textContent = slides[at].dataset.title + " · " + (at + 1) + " / " + slides.length; };
    document.querySelector("[data-back]").addEventListener("click", () => show(-1)); document.querySelector("[data-on]").addEventListener("click", () => show(1));
    addEventListener("keydown", ({ key }) => { const by = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[key]; if (by) show(by); }); show(0); }`;
  // Parts, each {title, body}; as slides, one is shown at a time.
  async function write(title, parts, slides) {
    const page = document.implementation.createHTMLDocument(title), root = page.documentElement;
    for (const { name, value } of document.documentElement.attributes) if (slides || !/^data-(stage|shrunk)$/.test(name)) root.setAttribute(name, value);
    page.head.append(make("meta", { charset: "utf-8" }), make("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }), make("style", {}, await rules()), make("style", {}, OWN));
    const when = new Date().toLocaleString(lang, { dateStyle: "long", timeStyle: "short" });
    const bar = make("header", { class: "sv-recorded" }, make("b", {}, say(words.recorded, { WHEN: when })), make("a", { href: location.href }, words.recorded_link));
    if (slides) bar.append(make("button", { type: "button", "data-back": true, "aria-label": words.recorded_back }, "‹"), make("button", { type: "button", "data-on": true, "aria-label": words.recorded_on }, "›"), make("span", { "data-place": true, role: "status" }));
    page.body.className = document.body.className;
    if (!slides) page.body.append(bar, make("main", { class: "sv-journey" }, make("h1", {}, title), ...parts.map((part) => part.body)));
    else page.body.append(bar, ...parts.map((part) => make("div", { class: "sv-slide", "data-title": part.title }, part.body)));
    page.body.append(make("script", { type: "application/json", id: "parameters" }, JSON.stringify(Object.fromEntries(new URLSearchParams(location.search))).replaceAll("<", "\\u003c")));
    if (slides) page.body.append(make("script", {}, TURN));
    return new Blob(["<!doctype html>\n", root.outerHTML], { type: "text/html" });
  }

  async function journey(button) {
    const scenes = stage().all().filter((scene) => scene.key.startsWith("journey.")).map((scene) => document.getElementById(scene.id)).filter(Boolean);
    for (const row of document.querySelectorAll(":is(#journey-video, #journey-audio) [data-state]")) row.dispatchEvent(new Event("sv-ask", { bubbles: true }));
    document.documentElement.dataset.journeySaved = ""; // what is not there yet is made, seen or not
    if (scenes.some((scene) => scene.querySelector('[data-state="waiting"], [data-state="running"]'))) return window.steuervektor.tell(words.record_waits);
    button.disabled = true;
    try {
      const parts = [];
      for (const scene of scenes) parts.push({ title: "", body: within(scene, await copyOf(scene)) });
      save(await write(`${words.record_journey} ${document.querySelector("#prompt :is(textarea, input)").value}`, parts, false), "journey.html");
    } catch { window.steuervektor.tell(words.offline); } finally {
      delete document.documentElement.dataset.journeySaved; // also when it failed: nothing is computed unseen any more
      button.disabled = false;
    }
  }

  // A scene is done when nothing in it runs or waits any more, for two seconds; some wait for a click, and so not for long.
  async function done(scene) {
    const seen = (selector) => [...scene.querySelectorAll(selector)].some((part) => part.checkVisibility());
    const runs = () => scene.dataset.fits === undefined || !scene.offsetParent || seen('[data-state="running"], .generating, .pending')
      || [...scene.closest('[role="tabpanel"]').querySelectorAll("button.stop")].some((button) => !button.disabled);
    await pause(2000); // what a step sets off begins by then
    const begun = performance.now(), passed = () => performance.now() - begun;
    for (let quiet = 0; quiet < 8 && passed() < 60000;) {
      quiet = runs() || (passed() < 12000 && seen('[data-state="waiting"]')) ? 0 : quiet + 1;
      await pause(250);
    }
  }
  async function lesson(found) {
    const parts = [];
    stage().enter();
    try {
      for (const [place, step] of found.steps.entries()) {
        if (!stage().onStage()) return; // left: nothing is kept
        await window.svClassroom.enter(step.door, step.run);
        const scene = await stage().there(step.scene);
        await done(scene);
        parts.push({ title: stage().all().find((one) => one.key === step.scene).title, body: within(scene, await copyOf(scene)) });
        window.steuervektor.tell(say(words.record_step, { NUMBER: place + 1, COUNT: found.steps.length }));
      }
      save(await write(found.title, parts, true), "lesson-recorded.html");
    } catch { window.steuervektor.tell(words.offline); }
    stage().leave();
  }

  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("[data-journey-save]");
    if (button) journey(button);
  });
  window.svRecord = { lesson };
})();
