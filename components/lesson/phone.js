// The page of a pupil's phone: a code, a question, an answer; what was answered is kept until the server has it.
(function () {
  "use strict";
  const { call, follow, make, say, letter, bars, shelf } = window.svClass;
  const words = JSON.parse(document.body.dataset.words), lang = document.documentElement.lang;
  const main = document.getElementById("main"), line = document.getElementById("line");
  function token() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const pupil = shelf.get("pupil") || token();
  shelf.set("pupil", pupil);
  let code = new URLSearchParams(location.search).get("code") || "";
  let state = null, following = null, sending = null, note = "", lostNow = false, drawn = "";
  let waiting = shelf.get("waiting"); // an answer that the server does not have yet

  function tell() {
    line.textContent = lostNow ? (waiting ? words.kept : words.offline) : note;
    line.hidden = !line.textContent;
  }
  function lost(error, over) {
    lostNow = !!error && !over;
    if (over) {
      note = "";
      following = null;
      enter(error.message);
    }
    tell();
  }
  function join(typed) {
    code = typed;
    state = null;
    note = "";
    following?.end();
    const asked = new URLSearchParams({ code, pupil, lang });
    following = follow((since, signal) => call(`class/state?${asked}&since=${encodeURIComponent(since)}`, { signal }), told, lost);
    main.replaceChildren(make("p", { class: "wait" }, words.joining));
  }
  function told(answer) {
    const first = !state;
    state = answer;
    if (first) history.replaceState(null, "", "?" + new URLSearchParams({ code: answer.code, lang }));
    if (waiting && (waiting.code !== answer.code || waiting.poll !== answer.poll?.id)) forget();
    if (waiting) send();
    draw();
  }

  // Answers -------------------------------------------------------------------------------------------
  function forget() {
    waiting = null;
    shelf.set("waiting", null);
  }
  function answer(choice) {
    note = "";
    waiting = { code: state.code, poll: state.poll.id, round: state.poll.round, choice };
    shelf.set("waiting", waiting);
    state.poll.mine = choice;
    draw();
    send();
  }
  async function send() {
    if (sending || !waiting) return;
    sending = waiting;
    try {
      await call("class/vote?lang=" + lang, { body: { ...sending, pupil } });
      if (state?.poll?.id === sending.poll && state.poll.round === sending.round) state.poll.mine = sending.choice;
      if (waiting === sending) forget();
      note = "";
      if (lostNow) following?.wake(); // there is a network again
      lostNow = false;
    } catch (error) {
      if (error.status && error.status !== 429 && error.status < 500) {
        if (waiting === sending) forget();
        note = error.message;
        following?.wake();
      } else {
        lostNow = true;
        setTimeout(send, 700 + 1500 * Math.random());
      }
    }
    const again = waiting && waiting !== sending;
    sending = null;
    tell();
    draw();
    if (again) send();
  }

  // What is seen ----------------------------------------------------------------------------------------
  const own = wish(); // made once: whatever comes meanwhile, what a pupil writes stays as it is
  function enter(message) {
    const field = make("input", { id: "code", name: "code", autocomplete: "off", autocapitalize: "characters", spellcheck: "false",
      maxlength: "12", required: true, value: code, "aria-describedby": "why" });
    drawn = "";
    main.replaceChildren(make("form", { submit(event) { event.preventDefault(); if (field.value.trim()) join(field.value.trim()); } },
      make("label", { for: "code" }, words.code), field, make("p", { id: "why", role: "alert" }, message || ""), make("button", { class: "go" }, words.join)));
    if (!message) field.focus();
  }
  function draw() {
    if (!state) return;
    const { version, ...seen } = state; // which grows with what no phone shows, too
    const key = JSON.stringify([seen, waiting]);
    if (key === drawn) return; // what did not change keeps its focus
    drawn = key;
    const at = document.activeElement?.id;
    main.replaceChildren(make("p", { class: "room" }, say(words.room, { CODE: state.code })),
      ...state.picked.map((text) => make("blockquote", { translate: "no" }, text)), ...(state.poll ? asked(state.poll) : [make("p", { class: "wait" }, words.waiting)]), own);
    if (at) document.getElementById(at)?.focus();
  }
  function asked(poll) {
    const { question } = poll;
    const parts = [make("h1", {}, question.text)];
    if (poll.open) parts.push(...(question.scale ? scale(poll) : [options(poll)]), make("p", { class: "status", role: "status" }, status(poll)));
    else parts.push(make("p", { class: "status", role: "status" }, poll.revealed ? verdict(poll) : words.closed), bars(poll, words));
    if (poll.revealed && question.scale && question.answer !== null) parts.push(make("p", {}, say(words.right_number, { NUMBER: `${question.answer} ${question.unit}`.trim() })));
    if (poll.revealed && question.explanation) parts.push(make("p", {}, question.explanation));
    if (poll.revealed && question.door) parts.push(make("a", { class: "door", href: (lang === "de" ? "de?" : "./?") + question.door }, words.door));
    return parts;
  }
  function status(poll) {
    if (waiting) return words.sending;
    if (poll.mine === null || poll.mine === undefined) return poll.round === 2 ? words.again : words.choose;
    return words.saved;
  }
  function verdict(poll) {
    const { answer: right, scale: range } = poll.question;
    if (right === null || range || poll.mine === null || poll.mine === undefined) return words.revealed;
    return poll.mine === right ? words.was_right : words.was_wrong;
  }
  function options(poll) {
    return make("div", { class: "options", role: "group", "aria-label": words.options }, ...poll.question.options.map((text, place) => {
      const picture = poll.question.pictures[place];
      return make("button", { id: "option" + place, type: "button", class: "option", "aria-pressed": String(poll.mine === place), click: () => answer(place) },
        make("b", {}, letter(place)), picture ? make("img", { src: picture, alt: "" }) : null, make("span", {}, text));
    }));
  }
  let pulled = null; // made once for each vote: whatever comes meanwhile, the slider stays where it was pulled to
  function scale(poll) {
    const vote = `${poll.id}.${poll.round}`;
    if (pulled?.vote !== vote) pulled = { vote, parts: slider(poll) };
    return pulled.parts;
  }
  function slider(poll) {
    const [low, high] = poll.question.scale;
    const field = make("input", { id: "scale", type: "range", min: low, max: high, step: "any", value: poll.mine ?? (low + high) / 2, "aria-label": poll.question.text });
    const number = () => +(+field.value).toPrecision(3);
    const shown = make("output", { for: "scale" });
    const show = () => { shown.textContent = `${number()} ${poll.question.unit}`; };
    field.addEventListener("input", show);
    show();
    return [field, shown, make("button", { id: "send", type: "button", class: "go", click: () => answer(number()) }, words.send)];
  }
  function wish() {
    const text = make("textarea", { id: "wish", translate: "no", maxlength: 300, rows: 2, "aria-label": words.wish });
    const done = make("p", { role: "status" });
    const post = (kind) => async () => {
      if (!text.value.trim()) return;
      try {
        await call("class/wish?lang=" + lang, { body: { code: state.code, pupil, kind, text: text.value } });
        text.value = "";
        done.textContent = words.wish_sent;
      } catch (error) {
        done.textContent = error.status ? error.message : words.wish_lost;
      }
    };
    return make("details", {}, make("summary", {}, words.wish), text,
      make("button", { type: "button", click: post("question") }, words.send_question), make("button", { type: "button", click: post("prompt") }, words.send_prompt), done);
  }

  document.querySelector("[data-other]").addEventListener("click", (event) => {
    event.preventDefault();
    location.search = new URLSearchParams({ ...(code ? { code } : {}), lang: event.target.lang });
  });
  if (code) join(code); else enter("");
})();
