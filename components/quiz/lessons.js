// Lessons: those that are shipped, and the lecturer's own, made of scenes as they stand.
const { make, say, call, save } = window.svClass;
const words = JSON.parse(element.querySelector("[data-words]").dataset.words), lang = document.documentElement.lang;
const part = (name) => element.querySelector(`[data-${name}]`);
const root = () => window.steuervektor.root;
let lessons = {};
let mine = window.svClassroom.mine();
const title = (key) => window.svScenes.all().find((scene) => scene.key === key)?.title || key;

function card(name, lesson) {
  const step = (one) => make("tr", {}, make("td", {}, `${one.minutes}`), make("td", {}, title(one.scene)), make("td", {}, one.predict || ""));
  return make("article", { class: "card" }, make("h4", {}, lesson.title), make("p", {}, lesson.aim),
    make("p", {}, make("b", {}, words.before_lesson), " ", lesson.before), make("p", {}, make("b", {}, words.homework), " ", lesson.homework),
    make("details", {}, make("summary", {}, say(words.steps, { COUNT: lesson.steps.length })), make("table", {}, make("thead", {}, make("tr", {}, ...[words.minutes, words.scene, words.predict].map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...lesson.steps.map(step)))),
    make("p", { class: "acts" }, make("button", { type: "button", class: "go", "data-lesson": name }, words.start),
      make("button", { type: "button", "data-sheet": name, click: () => sheet(lesson) }, words.sheet),
      make("button", { type: "button", title: words.record_hint, click: () => window.svRecord.lesson(lesson) }, words.record)));
}

// A worksheet to print: what each pupil expects, sees, and why, a line a step.
function sheet(lesson) {
  const page = window.open("", "_blank");
  if (!page) return void (part("wrong").textContent = words.blocked);
  const { document: paper } = page;
  paper.documentElement.lang = lang;
  paper.title = lesson.title;
  const style = "body{font:16px/1.4 system-ui,sans-serif;margin:2cm;color:#000}h1{font-size:22px}table{width:100%;border-collapse:collapse}th,td{border:1px solid #000;padding:6px 8px;vertical-align:top;text-align:left;height:2.6cm}th{height:auto}td:first-child{width:34%}tr{break-inside:avoid}thead{display:table-header-group}.last p{border-bottom:1px solid #000;padding:14px 0 26px}@media print{body{margin:0}button{display:none}@page{margin:15mm}}";
  paper.head.append(make("style", {}, style));
  paper.body.append(make("button", { type: "button", click: () => page.print() }, words.print), make("h1", {}, lesson.title), make("p", {}, words.sheet_name),
    make("table", {}, make("thead", {}, make("tr", {}, ...["sheet_experiment", "sheet_expect", "sheet_see", "sheet_because"].map((head) => make("th", { scope: "col" }, words[head])))),
      make("tbody", {}, ...lesson.steps.map((step) => make("tr", {}, make("td", {}, make("b", {}, title(step.scene)), make("br"), step.predict || ""), make("td"), make("td"), make("td"))))),
    make("div", { class: "last" }, ...["sheet_becomes", "sheet_acts", "sheet_precise"].map((line) => make("p", {}, words[line]))));
}

// The own lesson ------------------------------------------------------------------------------------------
function keep() {
  window.svClassroom.mine(mine);
  draw();
}
function draw() {
  const field = (step, name, attributes) => {
    const input = make(name === "minutes" ? "input" : "textarea", { "aria-label": words["field_" + name], placeholder: words["field_" + name], ...attributes });
    input.value = step[name] ?? "";
    input.addEventListener("change", () => { step[name] = name === "minutes" ? Math.min(600, Math.max(0, Number(input.value) || 0)) : input.value; window.svClassroom.mine(mine); });
    return input;
  };
  part("mine").replaceChildren(...mine.map((step, place) => make("li", {}, make("b", {}, title(step.scene)),
    make("div", { class: "fields" }, field(step, "minutes", { type: "number", min: 0, max: 600 }), field(step, "predict", { rows: 2, maxlength: 1200 }), field(step, "talk", { rows: 2, maxlength: 1200 })),
    make("p", { class: "acts" }, ...[["up", -1], ["down", 1]].map(([name, by]) => make("button", { type: "button", disabled: !mine[place + by], click() {
      [mine[place], mine[place + by]] = [mine[place + by], mine[place]];
      keep();
    } }, words[name])), make("button", { type: "button", class: "sv-door", "data-door": step.door }, words.see), make("button", { type: "button", click() { mine.splice(place, 1); keep(); } }, words.remove)))));
  for (const name of ["mine-start", "mine-save", "mine-sheet", "mine-clear"]) part(name).disabled = !mine.length;
}
const own = () => ({ title: words.mine, minutes: mine.reduce((sum, step) => sum + step.minutes, 0), steps: mine.map((step) => ({ items: [], ...step })) });
// TOML's strings in quotes are JSON's.
function toml() {
  const text = (value) => JSON.stringify(value).replace(/\u007f/g, "\\u007f"), value = (name, given) => (name !== "prompt" && /^-?\d+(\.\d+)?$/.test(given) ? String(Number(given)) : text(given));
  const steps = mine.map((step) => {
    const set = [...new URLSearchParams(step.door)].filter(([name]) => name !== "scene").map(([name, given]) => `${/^[A-Za-z_]+$/.test(name) ? name : text(name)} = ${value(name, given)}`);
    return ["[[step]]", `scene = ${text(step.scene)}`, `minutes = ${step.minutes}`, ...(step.run ? ["run = true"] : []), ...(step.items?.length ? [`quiz = ${text(step.items.join(", "))}`] : []),
      ...(set.length ? [`set = { ${set.join(", ")} }`] : []), `[step.${lang}]`, ...["predict", "reveal", "talk"].filter((name) => step[name]).map((name) => `${name} = ${text(step[name])}`), ""].join("\n");
  });
  return `minutes = ${Math.max(1, own().minutes)}\n\n[${lang}]\ntitle = ${text(words.mine)}\n\n${steps.join("\n")}`;
}
part("mine-start").addEventListener("click", () => window.svClassroom.start("mine", 0, own()));
part("mine-sheet").addEventListener("click", () => sheet(own()));
part("mine-clear").addEventListener("click", () => { mine = []; keep(); });
part("mine-save").addEventListener("click", () => {
  save(new Blob([toml()], { type: "application/toml" }), "lesson.toml");
});
part("mine-file").addEventListener("change", async () => {
  const file = part("mine-file").files[0];
  if (!file) return;
  part("wrong").textContent = "";
  try {
    const answer = await call(`${root()}/lesson/check?lang=${lang}`, { body: { kind: "lesson", text: await file.text() } });
    if (answer.error) part("wrong").textContent = `${file.name}: ${answer.error}`;
    else {
      mine = answer.lesson.steps;
      keep();
    }
  } catch (error) {
    part("wrong").textContent = error.status ? error.message : words.offline;
  }
  part("mine-file").value = "";
});
addEventListener("sv-mine", () => { mine = window.svClassroom.mine(); draw(); });
draw();
window.svClassroom.data().then((data) => {
  lessons = data.lessons;
  part("cards").replaceChildren(...Object.entries(lessons).map(([name, lesson]) => card(name, lesson)));
}, () => { part("cards").textContent = words.offline; });
