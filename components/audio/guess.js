// The chosen cell of a player: its neighbours in large, and what else could have been drawn there.
// "cell" events come from `player.js`.
const part = (name) => element.querySelector(`[data-${name}]`);
const texts = JSON.parse(part("texts").dataset.texts);

function show({ s, row, step, mode, said, tint, fill }) {
  part("cell").textContent = said;
  loupe(s, row, step, mode, tint);
  bars(s, row, step, tint, fill);
}

function loupe(s, row, step, mode, tint) {
  const lag = (book) => (s.delay ? book : 0), chosen = step - lag(row);
  const center = mode === "written" ? step : chosen, narrow = element.clientWidth < 620, reach = narrow ? 2 : 4;
  const lines = s.rows.map((name, book) => {
    const tr = document.createElement("tr");
    const shown = narrow ? name.split(" ").pop() : name;
    tr.append(Object.assign(document.createElement("th"), { textContent: shown, scope: "row" }));
    for (let column = center - reach; column <= center + reach; column++) {
      const frame = mode === "written" ? column - lag(book) : column, td = document.createElement("td");
      const code = frame >= 0 && frame < s.frames ? s.codes[book * s.frames + frame] : null;
      td.textContent = code === null ? "" : code < 0 ? "·" : code;
      if (code !== null && code >= 0) td.style.background = tint(code);
      if (book === row && column === center) td.className = "chosen";
      else if (frame === chosen) td.className = "together";
      tr.append(td);
    }
    return tr;
  });
  part("loupe").replaceChildren(...lines);
}

function bars(s, row, step, tint, fill) {
  const rows = s.rows.length, ranks = s.ranks, list = [], start = (step * rows + row) * ranks;
  const share = (branch, rank) => s.shares[(step * 3 + branch) * rows * ranks + row * ranks + rank];
  const percent = (value) => window.steuervektor.percent(value / 65535, 1);
  let rest = 65535;
  for (let rank = 0; rank < ranks && s.ranked[start + rank] >= 0; rank++) {
    const code = s.ranked[start + rank], item = document.createElement("li"), chip = document.createElement("b");
    rest -= share(2, rank);
    chip.textContent = code;
    chip.style.background = tint(code);
    const lines = document.createElement("span");
    for (const [branch, name] of ["prompt", "empty", "guided"].entries()) {
      const bar = document.createElement("i");
      bar.className = name;
      bar.style.width = `${(100 * share(branch, rank)) / s.top}%`; // one scale for the whole sound
      bar.title = `${texts[name]}: ${percent(share(branch, rank))}`;
      lines.append(bar);
    }
    const drawn = code === s.chosen[step * rows + row];
    if (drawn) item.className = "drawn";
    const number = document.createElement("em");
    number.textContent = `${percent(share(2, rank))}${drawn ? ` ◂ ${texts.drawn}` : ""}`;
    item.append(chip, lines, number);
    list.push(item);
  }
  part("bars").replaceChildren(...list);
  const others = { many: s.vocabulary - list.length, share: percent(Math.max(0, rest)) };
  part("rest").textContent = list.length ? fill(texts.rest, others) : texts.none;
}

element.addEventListener("cell", (event) => show(event.detail));
