// Words of a prompt that the chosen model never read in training, marked while one types, with known words to take
// instead; and the panel of all known words. `vocabulary.py` says what is known. Texts of visitors only ever
// become textContent.
(function () {
  "use strict";
  const { word: WORD, kinds, roles, between, typos, near, german, adjectives, endings, ambiguous, tabs, apart, listed,
    chosen, labels, never_read: neverRead, chance, because } = window.svVocabulary;
  const PAUSE = 350; // ms without a key: what is being typed is not judged letter by letter
  const MOST = 3; // words that are named
  const FIRST = new Set(["object", "size", "colour"]); // of these the first in a prompt is replaced, else the last
  const BAR = "tab"; // a field above all tabs, read by the model of the open one
  const word = new RegExp(WORD, "gu");
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const said = (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  const lazily = (make) => { const kept = {}; return (key) => kept[key] ??= make(key); };

  // What is known -------------------------------------------------------------------------------------

  const wordsIn = (text) => [...text.matchAll(word)].map((m) => ({ text: m[0], start: m.index, end: m.index + m[0].length }));
  const wordings = (role) => roles[role].flatMap((kind) => Object.values(kinds[kind]).flat());
  const known = lazily((role) => new Set([...wordings(role), ...between[role]].flatMap((phrase) =>
    wordsIn(phrase).map((found) => found.text.toLowerCase()))));
  const isKnown = (phrase, role) => wordsIn(phrase).every((found) => known(role).has(found.text.toLowerCase()));
  const unread = (text, role) => wordsIn(text).filter((found) => !known(role).has(found.text.toLowerCase()));

  /** Finds the phrases of a table in a text, the longest first. */
  function finder(phrases) {
    const any = [...phrases].sort((a, b) => b.length - a.length).map((p) => escaped(p).replace(/ /g, "\\s+")).join("|");
    return new RegExp(`(?<![\\p{L}\\p{N}])(?:${any})(?![\\p{L}\\p{N}])`, "giu");
  }
  const plain = (text) => text.toLowerCase().replace(/\s+/g, " ");
  const ofRole = lazily((role) => {
    const meaning = {};
    for (const kind of roles[role])
      for (const [value, phrases] of Object.entries(kinds[kind])) for (const p of phrases) meaning[p] = { kind, value };
    return { meaning, find: finder(Object.keys(meaning)) };
  });
  function phrasesIn(text, role) {
    const { meaning, find } = ofRole(role);
    return [...text.matchAll(find)].map((m) => ({ ...meaning[plain(m[0])], text: m[0], start: m.index, end: m.index + m[0].length }));
  }

  // What is near to a word ----------------------------------------------------------------------------

  const related = Object.create(null); // prompts may hold any word, "constructor" too
  for (const [to, words] of Object.entries(near)) for (const from of words.split(" ")) (related[from] ??= []).push(to);
  const english = Object.assign(Object.create(null), ...Object.entries(adjectives).map(([stem, to]) =>
    Object.fromEntries(endings.map((ending) => [stem + ending, to]))), german);
  const findGerman = finder(Object.keys(english));

  /** Letters to change, leave out, put in or exchange with their neighbour (optimal string alignment). */
  function distance(a, b) {
    const rows = [];
    for (let i = 0; i <= a.length; i++) {
      rows.push([i]);
      for (let j = 1; j <= b.length; j++) {
        if (!i) { rows[0][j] = j; continue; }
        rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] !== b[j - 1]));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
    return rows[a.length][b.length];
  }
  function alike(text, role) {
    const most = text.length < 4 ? 0 : text.length < 7 ? 1 : 2;
    if (!most || text.length > 20) return [];
    const close = [...known(role), ...Object.keys(related)].filter((other) => Math.abs(other.length - text.length) <= most)
      .map((other) => [distance(text, other), other]).filter(([away]) => away && away <= most)
      .sort((a, b) => a[0] - b[0]);
    return close.flatMap(([, other]) => known(role).has(other) ? [other] : related[other]);
  }
  function plural(phrase) {
    const words = Object.values(kinds.object).find((all) => all.includes(phrase));
    return words ? words[words.indexOf(phrase) % (words.length / 2) + words.length / 2] : phrase;
  }
  /** Known words in the place of one, the nearest first: by meaning, else by spelling. */
  function nearest(text, role, isGerman) {
    const small = text.toLowerCase(), one = small.replace(/e?s$/, "");
    const found = [
      ...(isGerman && english[small] ? [english[small]] : []), ...(related[small] ?? []),
      ...(small.endsWith("s") ? [...(related[small.slice(0, -1)] ?? []), ...(related[one] ?? [])].map(plural) : []),
      ...alike(small, role),
      ...(english[small] ? [english[small]] : []),
    ];
    return [...new Set(found)].filter((to) => to && isKnown(to, role));
  }
  const isGerman = (text, role) => unread(text, role).some(({ text: found }) =>
    found.toLowerCase() in english && !ambiguous.includes(found.toLowerCase()));
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const startsLarge = (text) => /^\p{Lu}/u.test(text);

  /** A German prompt word by word in English; what the table lacks stays. */
  function inEnglish(text, role) {
    const now = text.replace(findGerman, (found) => {
      const small = plain(found);
      return known(role).has(small) ? found : english[small];
    }).replace(/ +(?=[ .,;!?]|$)/g, "").replace(/\ba(?= [aeiou])/g, "an").trim();
    return startsLarge(text.trim()) ? capital(now) : now;
  }

  // Changing a prompt -----------------------------------------------------------------------------------

  function exchanged(text, start, end, by) {
    const old = text.slice(start, end);
    const head = text.slice(0, start).replace(/\b(a)n?(\s+)$/i, (_, a, gap) => a + (/^[aeiou]/i.test(by) ? "n" : "") + gap);
    return head + (startsLarge(old) ? capital(by) : by) + text.slice(end);
  }
  function withoutWord(text, from, to) {
    const places = wordsIn(text).filter((found) => found.text.toLowerCase() === from.toLowerCase());
    return places.reverse().reduce((now, found) => exchanged(now, found.start, found.end, to), text);
  }
  const article = (phrase) => (/^[aeiou]/.test(phrase) ? "an " : "a ") + phrase;
  function appended(text, phrase) {
    const trimmed = text.trimEnd();
    if (!trimmed) return capital(phrase);
    return /[.!?]$/.test(trimmed) ? `${trimmed} ${capital(phrase)}.` : `${trimmed.replace(/,$/, "")}, ${phrase}`;
  }
  /** The prompt with a known phrase in the place of another of its kind, or added where the grammar would. */
  function withPhrase(text, kind, phrase, role) {
    const found = phrasesIn(text, role), same = found.filter((p) => p.kind === kind);
    const thing = found.find((p) => p.kind === "object");
    const old = FIRST.has(kind) ? same[0] : same.at(-1);
    if (old) {
      const several = kind === "object" && kinds.object[old.value].indexOf(plain(old.text)) >= kinds.object[old.value].length / 2;
      return exchanged(text, old.start, old.end, several ? plural(phrase) : phrase);
    }
    const behind = (at, more) => text.slice(0, at) + more + text.slice(at);
    if (thing && (kind === "colour" || kind === "size")) {
      const before = found.filter((p) => kind === "size" && p.kind === "colour" && p.end <= thing.start).at(-1) ?? thing;
      return exchanged(text, before.start, before.start, startsLarge(before.text) ? phrase : phrase + " ").replace(/(\p{Ll})(\p{Lu})/u, "$1 $2");
    }
    if (thing && kind === "relation") return behind(thing.end, ` ${phrase} a ${thing.value === "house" ? "tree" : "house"}`);
    if (thing && kind === "motion" && !/camera|zoom|pan/.test(phrase)) return behind(thing.end, ` ${phrase}`);
    if (thing && kind === "place") {
      const stop = text.slice(thing.end).search(/[.,;!?]|$/);
      return behind(thing.end + stop, ` ${phrase}`);
    }
    return appended(text, kind === "object" ? article(phrase) : phrase);
  }

  // The fields ------------------------------------------------------------------------------------------

  const fields = () => [...document.querySelectorAll('[class*="sv-reads-"] textarea, [class*="sv-reads-"] input[type="text"]')];
  const blockOf = (field) => field.closest('[class*="sv-reads-"]');
  const openTab = () => window.steuervektor.tabs.current();
  function roleOf(field) {
    const own = /sv-reads-(\w+)/.exec(blockOf(field).className)[1];
    return own === BAR ? tabs[openTab()] ?? "image" : own;
  }
  function write(field, text) {
    window.steuervektor.write(field, text);
    look();
  }
  function lineOf(field) {
    const block = blockOf(field);
    if (block.id === "prompt") return document.querySelector("#prompt-unread .wd-line");
    let line = block.querySelector(".wd-line");
    if (!line) {
      const place = element("div", "sv-view-page-words wd-own");
      line = element("p", "wd-line");
      line.setAttribute("role", "status");
      place.append(line);
      block.append(place);
    }
    return line;
  }
  function element(tag, name, text = "") {
    const node = document.createElement(tag);
    node.className = name;
    node.textContent = text;
    return node;
  }
  function button(name, text, click) {
    const node = element("button", name, text);
    node.type = "button";
    node.lang = "en";
    node.translate = false; // a word for the model
    node.addEventListener("click", click);
    return node;
  }
  /** A button that says what the page says, in its language. */
  function saying(text, click) {
    const node = button("wd-why", text, click);
    node.removeAttribute("lang");
    node.removeAttribute("translate");
    return node;
  }
  /** A button is gone when its word is: whoever used the keyboard goes on in the field. */
  const then = (field, change) => (event) => {
    write(field, change(field.value));
    if (!event.detail) field.focus();
  };
  function why(role) {
    const node = saying(labels.why, () => {
      const note = document.getElementById("words-why") ?? document.body.appendChild(element("div", "wd-note"));
      note.id = "words-why";
      note.popover = "auto";
      note.textContent = because[role];
      note.togglePopover();
      const at = node.getBoundingClientRect(), width = note.offsetWidth;
      note.style.left = `${Math.max(12, Math.min(at.left, innerWidth - width - 12))}px`;
      note.style.top = `${at.bottom + 8}px`;
    });
    return node;
  }
  /** Back to the examples, whose place the line in the bar has taken. */
  function examples(field, line) {
    return saying(labels.examples, () => {
      line.dataset.aside = field.value;
      show(field);
      document.querySelector("#prompt-examples .sv-chip").focus();
    });
  }
  function about(field, role, found) {
    const text = field.value, names = [...new Map(found.map((f) => [f.text.toLowerCase(), f.text])).values()];
    const german = isGerman(text, role), each = names.length === 1 ? 3 : names.length === 2 ? 2 : 1;
    const parts = [element("span", "wd-said", neverRead[role])];
    const translated = german ? inEnglish(text, role) : text;
    const whole = translated !== text && unread(translated, role).length < found.length;
    for (const name of names.slice(0, MOST)) {
      const item = element("span", "wd-item");
      const word = element("b", "wd-word", name.length > 24 ? name.slice(0, 24) + "…" : name);
      word.translate = false;
      item.append(word);
      for (const to of whole ? [] : nearest(name, role, german).slice(0, each)) {
        const swap = button("wd-to", to, then(field, (now) => withoutWord(now, name, to)));
        swap.setAttribute("aria-label", said(labels.replace, { word: name, to }));
        item.append(" ", swap);
      }
      parts.push(item);
    }
    if (names.length > MOST) parts.push(element("span", "wd-rest", said(labels.more, { count: names.length - MOST })));
    if (whole) {
      const item = element("span", "wd-item wd-whole");
      item.append(element("span", "wd-said", labels.german), " ", button("wd-to", translated, then(field, () => translated)));
      return [...parts, item, why(role)];
    }
    return [...parts, element("span", "wd-chance", chance[role]), why(role)];
  }
  function aboutTypo(field, role) {
    const typo = wordsIn(field.value).map((f) => f.text).find((text) => typos[text.toLowerCase()] && known(role).has(text.toLowerCase()));
    if (!typo) return [];
    const other = typos[typo.toLowerCase()], phrase = new RegExp(`${escaped(typo)}(\\s+light(ing)?)?`, "u");
    const swap = button("wd-to", other, then(field, (now) => now.replace(phrase, (old) => startsLarge(old) ? capital(other) : other)));
    return [element("span", "wd-said", said(labels.typo, { word: typo })), swap];
  }
  function show(field) {
    const line = lineOf(field), role = roleOf(field);
    if (!line) return;
    const isApart = line.closest("#prompt-examples") && apart.includes(openTab());
    const isListed = !isApart && listed.includes(chosen[role]), found = isListed ? unread(field.value, role) : [];
    const parts = isApart ? [element("span", "wd-said", labels.apart)] : line.dataset.aside === field.value ? []
      : found.length ? about(field, role, found) : isListed ? aboutTypo(field, role) : [];
    if (found.length && parts.length && line.closest("#prompt-examples")) parts.push(examples(field, line));
    line.toggleAttribute("data-remark", !found.length && !isApart);
    const told = parts.map((part) => part.textContent).join("|");
    if (line.dataset.told === told) return; // nothing new: nobody is told again
    line.dataset.told = told;
    line.replaceChildren(...parts.flatMap((part) => [part, " "]).slice(0, -1));
    line.scrollLeft = 0;
  }

  // When ------------------------------------------------------------------------------------------------

  let timer = 0;
  function look() {
    clearTimeout(timer);
    timer = setTimeout(() => fields().forEach(show), 0);
  }
  function lookSoon() {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  }
  addEventListener("sv-remember", lookSoon); // whoever wrote it, the bar says something else now
  let last = null; // the field that was written in last: a word of the panel goes there
  const seen = (field) => field?.isConnected && field.offsetParent;
  function target() {
    const own = document.querySelector(`#tab-${openTab()}[role="tabpanel"] :is([class*="sv-reads-"]) textarea`);
    const main = openTab() === "video" && seen(own) ? own : document.querySelector("#prompt textarea");
    return seen(last) ? last : main;
  }
  const watched = (event) => event.target instanceof Element && event.target.matches("textarea, input") && blockOf(event.target);
  addEventListener("input", (event) => { if (watched(event)) lookSoon(); }, true);
  addEventListener("focusin", (event) => { if (watched(event)) { last = event.target; look(); } });
  addEventListener("click", (event) => {
    const known = event.target instanceof Element && event.target.closest(".wd-known");
    if (!known) return;
    const field = target(), kind = known.closest("[data-kind]").dataset.kind;
    write(field, withPhrase(field.value, kind, known.dataset.phrase, roleOf(field)));
  });
  function tabOpened() {
    if (last && !last.closest("#prompt-bar")) last = null;
    const role = tabs[openTab()] ?? "image";
    for (const row of document.querySelectorAll("#words-palette [data-kind]")) row.hidden = !roles[role].includes(row.dataset.kind);
    look();
  }
  new MutationObserver(tabOpened).observe(document.documentElement, {
    subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-restored"],
  });
  Object.assign(window.svVocabulary, {
    look: lookSoon, unread, nearest, inEnglish, withPhrase, isGerman,
    choose(role, id) { chosen[role] = id; look(); },
  });
})();
