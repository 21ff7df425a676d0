// What a lecturer steers a class by, on a phone or in the speaker's window: the question before the class, its votes,
// hands counted in, and what pupils sent.
window.svLead = function (place, words, secret, base) {
  "use strict";
  const { DRAWING_MS, call, follow, make, say, bars, betweenClicks } = window.svClass;
  const lang = document.documentElement.lang;
  const line = make("p", { role: "status", class: "status" });
  const body = make("div", {});
  place.replaceChildren(line, body);
  let state = null, drawn = "", duel = []; // ids of the prompts that are to be drawn side by side

  async function act(name, values = {}, most) {
    try {
      await call(`${base}class/${name}?lang=${lang}`, { body: values, secret, most });
      line.textContent = "";
      return true;
    } catch (error) {
      line.textContent = error.status ? error.message : words.offline;
      return false;
    }
  }
  const phase = (values) => act("phase", { poll: state.poll.id, round: state.poll.round, open: false, revealed: false, ...values });
  const go = (what) => act("tell", { go: `${what} ${Date.now()}` });
  const press = (name, act, kind = "") => make("button", { type: "button", class: kind, "data-act": name, click: act }, words[name]);

  // What comes next, in the order of a lesson; the first is what the arrow key of the stage does.
  function acts(poll) {
    if (!poll) return [press("ask", () => go("ask"), "go")];
    if (poll.open) return [press("close", () => phase({}), "go"), press("away", () => act("away"))];
    if (!poll.revealed) {
      return [press("reveal", () => phase({ revealed: true }), "go"),
        poll.round === 1 ? press("vote_again", () => phase({ round: 2, open: true })) : null,
        press("reopen", () => phase({ open: true })), press("away", () => act("away"))];
    }
    return [press("away", () => act("away"), "go")];
  }
  function hands(poll) {
    const list = bars(poll, words);
    if (poll.question.scale) return list;
    [...list.children].forEach((row, choice) => {
      const count = (by, sign, name) => make("button", { type: "button", class: "small", "aria-label": `${words[name]} ${poll.question.options[choice]}`,
        click: () => act("hands", { poll: poll.id, choice, by }) }, sign);
      row.append(make("div", { class: "row" }, count(-1, "−", "fewer"), count(1, "+", "more"), make("span", {}, words.hands)));
    });
    return list;
  }
  function wishes() {
    if (!state.wishes.length) return [];
    return [make("h2", {}, words.wishes), make("ul", { class: "wishes" }, ...state.wishes.map((wish) => make("li", {},
      make("p", {}, `${words[wish.kind]}: `, make("bdi", { translate: "no" }, wish.text)),
      make("div", { class: "row" },
        make("button", { type: "button", class: "small", "aria-pressed": String(wish.picked), click: () => act("pick", { wish: wish.id, picked: !wish.picked }) }, wish.picked ? words.hide : words.pick),
        wish.kind === "prompt" ? make("button", { type: "button", class: "small", click: () => go("prompt " + wish.id) }, words.run) : null,
        wish.kind === "prompt" ? make("button", { type: "button", class: "small", "aria-pressed": String(duel.includes(wish.id)), click: () => challenge(wish.id) }, words.duel) : null)))),
    duel.length === 2 ? press("battle", fight, "go") : ""];
  }
  function challenge(id) {
    duel = duel.includes(id) ? duel.filter((one) => one !== id) : [...duel, id].slice(-2);
    drawn = "";
    draw();
  }
  async function fight() {
    line.textContent = words.battle_drawing;
    if (!await act("battle", { wishes: duel, seed: Math.floor(Math.random() * 1e6), scene: state.lead.scene || "image.steps" }, DRAWING_MS)) return;
    duel = [];
    drawn = "";
    draw();
  }
  function moves(poll) {
    if (!poll.moves || poll.question.scale) return null;
    const all = poll.moves.flat().reduce((sum, count) => sum + count, 0);
    const same = poll.moves.reduce((sum, row, place) => sum + row[place], 0);
    return all ? make("p", {}, say(words.moved, { MOVED: all - same, ALL: all })) : null;
  }
  const draw = betweenClicks(body, () => true, () => {
    const key = JSON.stringify(state);
    if (key === drawn) return;
    drawn = key;
    const { poll, lead } = state;
    const focused = body.contains(body.ownerDocument.activeElement) && body.ownerDocument.activeElement.dataset.act;
    body.replaceChildren(
      make("p", { class: "room" }, say(words.room, { CODE: state.code })),
      make("h1", {}, lead.title || ""),
      lead.next ? make("p", {}, `${words.next_up}: ${lead.next}`) : "",
      make("div", { class: "row" }, press("previous", () => go("previous")), press("next", () => go("next"))),
      ...(poll ? [make("h2", {}, poll.question.text), make("p", { "data-phones": poll.phones }, say(words.phones, { COUNT: poll.phones })), hands(poll), moves(poll)] : [make("p", {}, words.no_question)]),
      make("div", { class: "row" }, ...acts(poll)),
      ...wishes());
    if (focused) body.querySelector(`[data-act="${focused}"]`)?.focus();
  });
  const following = follow((since, signal) => call(`${base}class/lead?lang=${lang}&since=${encodeURIComponent(since)}`, { secret, signal }),
    (answer) => { state = answer; draw(); },
    (error, over) => { line.textContent = !error ? "" : over ? error.message : words.offline; if (over) body.replaceChildren(); });
  return { act, go, end: following.end };
};
