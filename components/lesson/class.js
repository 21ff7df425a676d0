// Predict, vote, reveal on the stage; the class that phones join; and lessons that lead from scene to scene.
// A question stands before its scene until a prediction is made or skipped; without a class it is the room's own.
(function () {
  "use strict";
  const words = window.svLesson;
  const { call, follow, make, say, letter, bars, shelf, save, betweenClicks } = window.svClass;
  const html = document.documentElement, lang = html.lang;
  const root = () => window.steuervektor.root + "/";
  const stage = () => window.svScenes;
  let data = null;
  const loaded = () => data ??= call(`${root()}lesson/data?lang=${lang}`).catch((error) => { data = null; throw error; });

  // The class -------------------------------------------------------------------------------------------
  let room = shelf.get("class"); // {code, secret, addresses, reachable}
  let state = null, following = null, obeyed = null;
  let told = null; // what the server said first of the class is there
  const heard = new Promise((there) => { told = there; });
  async function act(name, values = {}) {
    try {
      await call(`${root()}class/${name}?lang=${lang}`, { body: values, secret: room.secret });
      return true;
    } catch (error) {
      window.steuervektor.tell(error.status ? error.message : words.offline);
      return false;
    }
  }
  function attend() {
    following?.end();
    obeyed = null;
    following = follow((since, signal) => call(`${root()}class/lead?lang=${lang}&since=${encodeURIComponent(since)}`, { secret: room.secret, signal }),
      (answer) => {
        state = answer;
        const go = answer.lead.go || "", isNew = obeyed !== null && go !== obeyed;
        obeyed = go; // once, whatever comes of it
        told();
        draw();
        if (isNew) obey(go);
      },
      (error, over) => {
        html.toggleAttribute("data-class-lost", !!error);
        if (over) forget();
        if (over) told();
      });
    html.dataset.class = "";
    badge();
    tellClass();
  }
  function forget() {
    following?.end();
    room = state = following = null;
    shelf.set("class", null);
    delete html.dataset.class;
    badge();
    draw();
  }
  function tellClass() {
    const scenes = stage().staged(), at = scenes.findIndex((scene) => scene.key === stage().current());
    if (room && stage().onStage() && at >= 0) act("tell", { scene: scenes[at].key, title: scenes[at].title, next: scenes[at + 1]?.title || "" });
  }
  function obey(go) {
    const [what, value] = go.split(" ");
    if (what === "next" || what === "previous") move(what === "next" ? 1 : -1);
    if (what === "ask") ask();
    if (what === "prompt") {
      const wish = state.wishes.find((one) => String(one.id) === value);
      if (wish) window.steuervektor.write(document.querySelector("#prompt textarea"), wish.text);
    }
  }
  const joinAddress = () => `${room.addresses[0] || window.steuervektor.root}/join?code=${room.code}`;
  const short = (address) => address.replace(/^https?:\/\//, "").replace(/\?.*/, "");
  const qr = (address, size) => make("img", { src: `${root()}qr?text=${encodeURIComponent(address)}`, width: size, height: size, alt: say(words.qr, { ADDRESS: address }) });

  // The lecturer's link never stands in an address that is asked for: logs keep those.
  function secretQr(address) {
    const drop = () => URL.revokeObjectURL(picture.src); // it is drawn by then, or never will be
    const picture = make("img", { width: 200, height: 200, alt: words.class_remote, load: drop, error: drop });
    fetch(`${root()}class/qr`, { method: "POST", headers: { authorization: "Bearer " + room.secret, "content-type": "application/json" }, body: JSON.stringify({ text: address }) })
      .then((answer) => (answer.ok ? answer.blob() : null)).then((code) => { if (code) picture.src = URL.createObjectURL(code); }, () => {});
    return picture;
  }
  async function open() {
    try {
      room = await call(`${root()}class/open?lang=${lang}`, { body: {} });
    } catch (error) {
      window.steuervektor.tell(error.status ? error.message : words.offline);
      return;
    }
    shelf.set("class", room);
    attend();
    fill();
  }
  async function record(kind) {
    const answer = await fetch(`${root()}class/record.${kind}`, { headers: { authorization: "Bearer " + room.secret } }).catch(() => null);
    if (!answer?.ok) return window.steuervektor.tell(words.offline);
    save(await answer.blob(), `class-${room.code}.${kind}`);
  }
  let dialog = null;
  function furnish() {
    if (dialog) return;
    dialog = make("dialog", { id: "sv-class", class: "sv-share", "aria-labelledby": "sv-class-title" });
    document.body.append(dialog);
  }
  function button(name, act, kind) {
    return make("button", { type: "button", class: kind, click: act, "data-act": name }, words[name]);
  }
  function fill() {
    furnish();
    const close = button("dialog_close", () => dialog.close());
    const title = make("h2", { id: "sv-class-title" }, words.class_title);
    if (!room) {
      dialog.replaceChildren(title, make("p", {}, words.class_hint), make("p", {}, words.class_privacy),
        make("p", { class: "sv-share-actions" }, button("class_open", open), close));
      return;
    }
    const remote = `${room.addresses[0] || window.steuervektor.root}/lead?lang=${lang}#s=${room.secret}`;
    dialog.replaceChildren(title,
      make("div", { class: "sv-share-body" },
        make("div", {}, make("p", {}, say(words.class_join, { ADDRESS: short(joinAddress()) })), make("p", { class: "sv-class-code" }, room.code),
          room.reachable ? "" : make("p", { class: "sv-class-warning", role: "alert" }, words.class_unreachable)),
        make("figure", {}, qr(joinAddress(), 240))),
      make("details", {}, make("summary", {}, words.class_remote), make("p", {}, words.class_remote_hint), make("div", { class: "sv-share-body" }, make("textarea", { readonly: true, rows: 2, "aria-label": words.class_remote }, remote), make("figure", {}, secretQr(remote)))),
      make("p", { class: "sv-share-actions" }, button("class_csv", () => record("csv")), button("class_qti", () => record("zip")),
        button("class_end", async () => { if (await act("remove")) { forget(); fill(); } }), close));
  }
  function badge() {
    document.getElementById("sv-badge")?.remove();
    if (!room) return;
    document.body.append(make("button", { id: "sv-badge", type: "button", title: words.key_join, click: showJoin },
      make("span", {}, short(joinAddress()), make("b", {}, room.code)), qr(joinAddress(), 66)));
  }
  function showJoin() {
    const there = document.getElementById("sv-join");
    if (there) return there.remove();
    if (!room) return;
    document.body.append(make("button", { id: "sv-join", type: "button", click: showJoin }, qr(joinAddress(), 420), make("span", {}, short(joinAddress())), make("b", {}, room.code)));
    document.getElementById("sv-join").focus();
  }

  // The question ------------------------------------------------------------------------------------------
  let local = null; // the room's own, where there is no class
  let asked = -1; // which of the scene's questions
  let lesson = null; // {name, step, steps, minutes}
  const poll = () => (room ? state?.poll : local);
  async function items() {
    const { items: all } = await loaded();
    const own = lesson && lesson.steps[lesson.step];
    if (own && own.items.length) return own.items.map((id) => all.find((item) => item.id === id)).filter(Boolean);
    return all.filter((item) => item.scene === stage().current());
  }
  async function ask() {
    let there;
    try { there = await items(); } catch { return window.steuervektor.tell(words.offline); }
    if (!there.length) return window.steuervektor.tell(words.no_question_here);
    asked = (asked + 1) % there.length;
    await put(there[asked].question);
  }
  async function put(question) {
    const scene = stage().current();
    if (room) await act("ask", { scene, question });
    else local = { id: 0, scene, question, round: 1, open: true, revealed: false, mine: null, counts: [], phones: 0 };
    draw();
  }
  // One step on: from the vote to its result, from there to the answer. True where there was one.
  function advance() {
    const now = poll();
    if (!now || now.revealed) return false;
    if (room) act("phase", { poll: now.id, round: now.round, open: false, revealed: !now.open });
    else Object.assign(local, { open: false, revealed: true });
    draw();
    return true;
  }
  function again() {
    act("phase", { poll: poll().id, round: 2, open: true, revealed: false });
  }
  function putAway() {
    asked = -1;
    if (room && state?.poll) act("away");
    local = null;
    draw();
  }
  function choose(place, by = 1) {
    const now = poll();
    if (!now?.open || now.question.scale || place >= now.question.options.length) return;
    if (room) act("hands", { poll: now.id, choice: place, by });
    else local.mine = local.mine === place ? null : place;
    draw();
  }
  let drawn = "";
  const draw = betweenClicks(window, (at) => at instanceof Element && at.closest("#sv-question, #sv-answer"), () => {
    const now = stage().onStage() && poll()?.scene === stage().current() ? poll() : null;
    const key = JSON.stringify([now, stage().onStage(), !!room]);
    if (key === drawn) return;
    drawn = key;
    const focused = document.activeElement?.dataset?.act;
    for (const id of ["sv-question", "sv-answer"]) document.getElementById(id)?.remove();
    document.documentElement.toggleAttribute("data-answer", !!now?.revealed);
    if (!now) return;
    document.body.append(now.revealed ? answer(now) : slide(now));
    fit();
    if (focused) document.querySelector(`:is(#sv-question, #sv-answer) [data-act="${focused}"]`)?.focus();
  });
  // A slide stands on the screen whole: long questions are written smaller.
  function fit() {
    const shown = document.getElementById("sv-question");
    for (let share = 1; shown && share > 0.6; share -= 0.05) {
      shown.style.setProperty("--fit", share.toFixed(2));
      if (shown.scrollHeight <= shown.clientHeight) return;
    }
  }
  addEventListener("resize", fit);
  function slide(now) {
    const { question } = now;
    const hands = room && state.poll.hands;
    const options = question.scale
      ? make("p", { class: "range" }, `${question.scale[0]} … ${question.scale[1]} ${question.unit}`)
      : make("div", { class: "options" + (question.pictures.length ? " pictures" : "") }, ...question.options.map((text, place) => make("div", { class: "option" },
        make("button", { type: "button", "aria-pressed": room ? null : String(now.mine === place), title: room ? words.hand_more : words.predict, "data-act": "option" + place, click: () => choose(place) },
          make("b", {}, letter(place)), question.pictures[place] ? make("img", { src: question.pictures[place], alt: "" }) : null, make("span", {}, text)),
        room && hands ? make("span", { class: "hands" }, make("button", { type: "button", "aria-label": `${words.hand_fewer}: ${text}`, click: () => choose(place, -1) }, "−"),
          make("output", {}, `${words.hands} ${hands[place]}`)) : null)));
    const status = room ? say(words.voted, { COUNT: now.phones }) : now.mine === null ? words.predict_hint : words.predicted;
    const acts = now.open ? [button(room ? "close_vote" : now.mine === null ? "skip" : "reveal", advance, "go")]
      : [button("reveal", advance, "go"), now.round === 1 ? button("vote_again", again) : null];
    return make("section", { id: "sv-question", "aria-labelledby": "sv-question-text" },
      make("p", { class: "over" }, now.round === 2 ? words.second_vote : now.open ? words.what_do_you_expect : words.class_thinks),
      make("h2", { id: "sv-question-text" }, question.text),
      now.open ? options : bars(now, words),
      make("p", { class: "acts" }, make("span", { role: "status" }, status), ...acts, button("put_away", putAway)));
  }
  function answer(now) {
    const { question } = now;
    const right = question.answer === null ? "" : question.scale ? `${question.answer} ${question.unit}` : `${letter(question.answer)} · ${question.options[question.answer]}`;
    const last = now.counts.at(-1), all = last?.reduce((sum, count) => sum + count, 0);
    const share = all && question.answer !== null && !question.scale ? say(words.share_right, { RIGHT: last[question.answer], ALL: all }) : "";
    const why = make("div", { class: "why", hidden: true }, make("p", {}, question.explanation), now.counts.length ? bars(now, words) : "");
    const unfold = make("button", { type: "button", "aria-expanded": "false", "data-act": "why", click: () => {
      why.hidden = !why.hidden;
      unfold.setAttribute("aria-expanded", String(!why.hidden));
    } }, words.why);
    return make("section", { id: "sv-answer", "aria-label": words.answer }, why,
      make("p", { class: "acts" }, make("span", { role: "status" }, make("b", {}, right ? `✓ ${right}` : ""), ` ${share}`), unfold,
        room && now.round === 1 ? button("vote_again", again) : null, button("put_away", putAway)));
  }

  // Lessons -----------------------------------------------------------------------------------------------
  async function startLesson(name, step = 0, given = null, resumed = false) {
    let found;
    try { found = given || (await loaded()).lessons[name]; } catch { return window.steuervektor.tell(words.offline); }
    if (!found?.steps.length) return window.steuervektor.address({ lesson: null, step: null });
    lesson = { ...found, name, step: Math.min(Math.max(0, step), found.steps.length - 1) };
    window.steuervektor.address({ lesson: name });
    if (!stage().onStage()) stage().enter();
    if (resumed) resume();
    else enterStep();
  }
  async function enterStep() {
    const step = lesson.steps[lesson.step];
    window.steuervektor.address({ step: lesson.step });
    putAway();
    await enter(step.door, step.run);
    stage().tellSpeaker();
    if (lesson?.steps[lesson.step] === step && step.items.length) ask();
  }
  // The page was opened anew, as after a restart of the server: the class is where it was, in the middle of a vote.
  async function resume() {
    stage().show(lesson.steps[lesson.step].scene);
    stage().tellSpeaker();
    if (room) await heard;
    if (!poll() && lesson?.steps[lesson.step].items.length) ask();
  }
  // Through a door: the page takes what it says, shows its scene, and computes anew what no longer belongs to it.
  async function enter(door, run = false) {
    const query = new URLSearchParams(door), key = query.get("scene");
    await window.steuervektor.take(door);
    stage().show(key);
    setTimeout(() => { // the tab shows what it has first
      const scene = document.getElementById(`scene-${key.replace(".", "-")}`), panel = scene?.closest('[role="tabpanel"]');
      const seen = (selector) => [...(scene?.querySelectorAll(selector) || [])].find((button) => button.checkVisibility() && !button.disabled);
      for (const name of query.keys()) {
        document.querySelector(`#${name.replace(".", "-")} input[type="range"]`)?.dispatchEvent(new Event("pointerup", { bubbles: true }));
      }
      if (run) seen("button.primary")?.click();
      else if (panel?.querySelector("[data-stale]")) (seen(".sv-on-enter") || panel.querySelector(".sv-on-enter"))?.click();
    }, 1200);
  }
  function endLesson() {
    lesson = null;
    window.steuervektor.address({ lesson: null, step: null });
    stage().tellSpeaker();
  }
  function move(by) {
    if (by > 0 && advance()) return true;
    if (lesson) {
      const to = lesson.step + by;
      if (to < 0 || to >= lesson.steps.length) return true;
      lesson.step = to;
      enterStep();
      return true;
    }
    stage().step(by);
    return true;
  }

  window.svClassroom = {
    // The stage's arrow keys; what a question or a lesson does not need, the stage takes.
    moved: (by) => (lesson || (by > 0 && poll()?.scene === stage().current() && !poll().revealed) ? move(by) : false),
    reveal: () => advance(),
    asks: () => !!poll() && poll().scene === stage().current() && !poll().revealed,
    keys: { q: () => (poll()?.scene === stage().current() ? putAway() : ask()), j: showJoin, ...Object.fromEntries([1, 2, 3, 4, 5].map((n) => [String(n), () => choose(n - 1)])) },
    entered() {
      if (poll() && poll().scene !== stage().current()) putAway(); // who goes on leaves the question behind
      asked = -1;
      tellClass();
      draw();
    },
    left() {
      document.getElementById("sv-join")?.remove();
      if (lesson) endLesson();
      draw();
    },
    // What the speaker's window shows besides: the lesson's step, and the class.
    speaker(main) {
      const stem = (stage().current() || "").split(".")[0];
      loaded().then(({ teacher }) => {
        const told = ["aim", "misread", "wrong"].filter((name) => teacher[`${stem}.${name}`]);
        if (told.length) main.append(make("section", { class: "teacher" }, ...told.map((name) => make("p", {}, make("b", {}, `${words["teacher_" + name]}: `), teacher[`${stem}.${name}`]))));
      }, () => {});
      if (lesson) {
        const step = lesson.steps[lesson.step];
        const minutes = lesson.steps.slice(lesson.step).reduce((sum, one) => sum + one.minutes, 0);
        main.append(make("section", { class: "lesson" }, make("h2", {}, say(words.step, { NUMBER: lesson.step + 1, COUNT: lesson.steps.length, MINUTES: step.minutes, LEFT: minutes })),
          ...["predict", "reveal", "talk"].filter((name) => step[name]).map((name) => make("p", {}, make("b", {}, words["step_" + name] + " "), step[name]))));
      }
      if (room) {
        const panel = make("section", { class: "class" });
        main.append(make("link", { rel: "stylesheet", href: root() + "lesson/phone.css" }),
          make("style", {}, "main { max-width: none } .class :is(h1, h1 + p) { display: none }"), panel); // said above already
        return window.svLead(panel, words, room.secret, root());
      }
      return null;
    },
    start: startLesson,
    question: put,
    enter,
    data: loaded,
    // The lecturer's own lesson: its steps, or new ones.
    mine(steps) {
      if (steps) shelf.set("lesson", steps);
      return steps || shelf.get("lesson") || [];
    },
  };
  // The present scene and state as a step of the own lesson.
  function addStep() {
    const query = new URLSearchParams(location.search);
    const scene = query.get("scene") || stage().all().find((one) => one.key.startsWith((query.get("tab") || "journey") + "."))?.key;
    for (const name of ["scene", "tab", "stage", "lesson", "step", "lang", "v", "hide", "embed", "__theme", "scenes"]) query.delete(name);
    const door = new URLSearchParams([["scene", scene], ...query]).toString();
    window.svClassroom.mine([...window.svClassroom.mine(), { scene, door, minutes: 3, items: [], predict: "", talk: "" }]);
    dispatchEvent(new Event("sv-mine"));
    window.steuervektor.tell(say(words.added, { SCENE: stage().all().find((one) => one.key === scene)?.title || scene }));
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("[data-class-switch]")) {
      fill();
      dialog.showModal();
    }
    if (target?.closest("[data-add-step]")) addStep();
    const door = target?.closest(".sv-door");
    if (door) enter(door.dataset.door);
    const begin = target?.closest("[data-lesson]");
    if (begin) startLesson(begin.dataset.lesson);
  });
  addEventListener("sv-scenes", () => {
    if (room) attend();
    const name = window.steuervektor.asked("lesson");
    const own = name === "mine" ? window.svClassroom.mine() : null;
    if (name) startLesson(name, Number(window.steuervektor.asked("step")) || 0, own && { title: "", steps: own }, true);
  });
})();
