// Before the lesson: what is here, how fast it is, and what this browser can do.
(function () {
  "use strict";
  const { DRAWING_MS, call, make, say } = window.svClass;
  const words = JSON.parse(document.body.dataset.words), lang = document.documentElement.lang;
  const main = document.getElementById("main");
  document.querySelector("[data-other]").addEventListener("click", (event) => {
    event.preventDefault();
    location.search = "lang=" + event.target.lang;
  });
  const list = make("ul", { class: "checks" });
  main.replaceChildren(make("h1", {}, words.heading), make("p", {}, words.hint), list);
  function row(name, state, text, ...more) {
    const line = document.getElementById("check-" + name) || list.appendChild(make("li", { id: "check-" + name }));
    line.dataset.state = state;
    line.replaceChildren(make("b", {}, `${{ good: "✓", bad: "!", waits: "…" }[state]} ${words[name]}`), " ", text, ...more);
  }
  async function look() {
    const all = (state, text) => { for (const name of ["models", "speed", "phones", "disk", "network"]) row(name, state, text); };
    all("waits", "");
    let found;
    try { found = await call("lesson/health?lang=" + lang); } catch (error) { return all("bad", error.status ? error.message : words.no_answer); }
    const missing = found.models.filter((model) => !model.here), cold = found.models.filter((model) => model.here && !model.warm);
    row("models", missing.length ? "bad" : "good", missing.length ? say(words.models_missing, { LIST: missing.map((model) => model.title).join(", ") })
      : cold.length ? say(words.models_cold, { LIST: cold.map((model) => model.title).join(", ") }) : words.models_warm);
    row("disk", found.free_gb >= 1 ? "good" : "bad", say(words.disk_free, { GB: found.free_gb }));
    row("network", "good", found.offline ? words.network_off : words.network_on);
    const address = (found.addresses[0] || location.href.replace(/\/check.*$/, "")) + "/join";
    row("phones", found.reachable ? "good" : "bad", found.reachable ? address : words.phones_unreachable,
      found.reachable ? make("p", {}, make("img", { src: "qr?text=" + encodeURIComponent(address), width: 180, height: 180, alt: address })) : "");
    try {
      const { seconds } = await call("lesson/picture?lang=" + lang, { body: {}, most: DRAWING_MS });
      row("speed", seconds < 5 ? "good" : "bad", say(words.speed_seconds, { SECONDS: seconds.toLocaleString(lang) }));
    } catch (error) {
      row("speed", "bad", error.status ? error.message : words.no_answer);
    }
  }
  function browser() {
    row("sound", "waits", "", make("button", { type: "button", class: "small", click() {
      const context = new AudioContext(), tone = context.createOscillator(), loud = context.createGain();
      loud.gain.value = 0.2;
      tone.connect(loud).connect(context.destination);
      tone.start();
      tone.stop(context.currentTime + 0.6);
      row("sound", "good", words.sound_played);
    } }, words.sound_play));
    const microphone = window.isSecureContext && navigator.mediaDevices;
    row("microphone", microphone ? "good" : "bad", microphone ? words.microphone_there : words.microphone_needs);
    row("window", "waits", "", make("button", { type: "button", class: "small", click() {
      const opened = window.open("", "_blank", "popup,width=300,height=200");
      row("window", opened ? "good" : "bad", opened ? words.window_there : words.window_blocked);
      opened?.close();
    } }, words.window_try));
  }
  browser();
  look();
})();
