// The quiz: one question at a time, answered here and settled by what the page computes. Nothing leaves the browser.
const { make, say, letter, call, shelf } = window.svClass;
const words = JSON.parse(element.querySelector("[data-words]").dataset.words), lang = document.documentElement.lang;
const part = (name) => element.querySelector(`[data-${name}]`);
let answers = { before: {}, after: {}, ...shelf.get("quiz") }; // by round and item: the number of the answer
let items = [], usual = [], lessons = {}, round = "before", about = "", at = 0, checked = false;

const chosen = () => (about.startsWith("lesson:") ? items.filter((item) => lessons[about.slice(7)].steps.some((step) => step.items.includes(item.id)))
  : about ? items.filter((item) => item.scene.startsWith(about + ".")) : items);
const tabName = (stem) => document.querySelector(`#tab-${stem}-button`)?.textContent.trim() || stem;

function topics() {
  const asks = new Set(items.map((item) => item.scene.split(".")[0]));
  const stems = [...document.querySelectorAll('#tabs [role="tab"]')].map(window.steuervektor.tabs.stem).filter((stem) => asks.has(stem)); // in the page's order
  const asked = Object.entries(lessons).filter(([, lesson]) => lesson.steps.some((step) => step.items.some((id) => items.some((item) => item.id === id))));
  part("about").replaceChildren(make("option", { value: "" }, words.all), ...asked.map(([name, lesson]) => make("option", { value: "lesson:" + name }, lesson.title)),
    ...stems.map((stem) => make("option", { value: stem }, tabName(stem))));
  if (![...part("about").options].some((option) => option.value === about)) about = "";
  part("about").value = about;
}
function draw() {
  const there = chosen(), item = there[at];
  const given = there.filter((one) => answers[round][one.id] !== undefined);
  part("done").textContent = say(words.done, { DONE: given.length, ALL: there.length });
  for (const button of element.querySelectorAll("[data-round]")) button.setAttribute("aria-pressed", String(button.dataset.round === round));
  part("item").replaceChildren(...(item ? question(item, there) : result(there)));
}
function question(item, there) {
  const { question } = item, mine = answers[round][item.id];
  const options = question.options.map((text, place) => {
    const state = !checked ? "" : place === question.answer ? "right" : place === mine ? "wrong" : "";
    return make("button", { type: "button", class: "option " + state, "aria-pressed": String(mine === place), disabled: checked, click() {
      answers[round][item.id] = place;
      shelf.set("quiz", answers);
      draw();
      element.querySelector(`.option:nth-of-type(${place + 1})`)?.focus();
    } }, make("b", {}, letter(place)), make("span", {}, text), state ? make("em", {}, state === "right" ? `✓ ${words.right}` : `✗ ${words.wrong}`) : null);
  });
  const after = checked ? [make("div", { class: "why", role: "status" }, make("p", {}, make("b", {}, mine === question.answer ? words.was_right : words.was_wrong), " ", question.explanation),
    item.do ? make("p", {}, make("b", {}, words.settle), " ", item.do) : null,
    question.door ? make("p", {}, make("button", { type: "button", class: "sv-door", "data-door": question.door }, words.see)) : null)] : [];
  return [make("p", { class: "place" }, `${say(words.place, { NUMBER: at + 1, ALL: there.length })} · ${tabName(item.scene.split(".")[0])}`),
    make("h3", {}, question.text), make("div", { class: "options", role: "group" }, ...options), ...after,
    make("p", { class: "acts" }, at ? make("button", { type: "button", click: () => go(at - 1) }, words.back) : null,
      checked ? make("button", { type: "button", class: "go", "data-next": true, click: () => go(at + 1) }, at + 1 < there.length ? words.next : words.result)
        : make("button", { type: "button", class: "go", "data-check": true, disabled: mine === undefined, click() { checked = true; draw(); part("next").focus(); } }, words.check))];
}
function go(to, focus = true) {
  at = to;
  checked = false;
  draw();
  if (focus) element.querySelector(".option, [data-again]")?.focus();
}
// Before and after, misconception by misconception: the gain is what a lesson changed.
function result(there) {
  const right = (name, item) => answers[name][item.id] === undefined ? "–" : answers[name][item.id] === item.question.answer ? "✓" : "✗";
  const score = (name) => {
    const given = there.filter((item) => answers[name][item.id] !== undefined);
    return given.length ? `${given.filter((item) => right(name, item) === "✓").length} / ${given.length}` : "–";
  };
  const both = there.filter((item) => right("before", item) !== "–" && right("after", item) !== "–");
  const gained = both.filter((item) => right("before", item) === "✗" && right("after", item) === "✓").length;
  return [make("h3", {}, words.result), make("table", {}, make("thead", {}, make("tr", {}, ...[words.question, words.before, words.after].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...there.map((item) => make("tr", {}, make("td", {}, item.question.text), make("td", {}, right("before", item)), make("td", {}, right("after", item)))),
      make("tr", { class: "sum" }, make("td", {}, words.sum), make("td", {}, score("before")), make("td", {}, score("after"))))),
  both.length ? make("p", {}, say(words.gained, { GAINED: gained, ALL: both.length })) : null,
  make("p", { class: "acts" }, make("button", { type: "button", "data-again": true, class: "go", click: () => go(0) }, words.again),
    make("button", { type: "button", click() { answers = { before: {}, after: {} }; shelf.set("quiz", answers); go(0); } }, words.forget))].filter(Boolean);
}

part("about").addEventListener("change", () => { about = part("about").value; go(0); });
for (const button of element.querySelectorAll("[data-round]")) button.addEventListener("click", () => { round = button.dataset.round; go(0); });
part("shipped").href = `${window.steuervektor.root}/lesson/quiz.toml`;
part("own").addEventListener("change", async () => {
  const file = part("own").files[0];
  if (!file) return;
  part("wrong").textContent = "";
  try {
    const answer = await call(`${window.steuervektor.root}/lesson/check?lang=${lang}`, { body: { kind: "quiz", text: await file.text() } });
    if (answer.error) part("wrong").textContent = `${file.name}: ${answer.error}`;
    else use(answer.items, true);
  } catch (error) {
    part("wrong").textContent = error.status ? error.message : words.offline;
  }
  part("own").value = "";
});
part("usual").addEventListener("click", () => use(usual, false));
function use(given, isOwn) {
  items = given;
  part("usual").hidden = !isOwn;
  topics();
  go(0, isOwn);
}
window.svClassroom.data().then((data) => {
  usual = data.items;
  lessons = data.lessons;
  use(usual, false);
}, () => { part("item").textContent = words.offline; });
