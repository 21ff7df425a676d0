// A link to exactly what is shown: for the clipboard, as a QR code, and to embed. What a link hides and that it is
// embedded stands in its address, so that it needs neither cookies nor local storage.
(function () {
  "use strict";
  const root = document.documentElement;
  const query = new URLSearchParams(location.search);
  if (query.get("hide")) root.dataset.hide = query.get("hide").replace(/[^a-z,]/g, "").replaceAll(",", " ");
  if (query.has("embed")) {
    root.dataset.embed = "";
    const tell = () => parent.postMessage({ steuervektor: { height: document.body.scrollHeight } }, "*"); // a height is no secret
    new ResizeObserver(tell).observe(root);
  }

  const form = () => document.querySelector("#sv-share form");
  function link(kind) {
    const chosen = new FormData(form());
    const there = new URL(location.href);
    there.pathname = there.pathname.replace(/\/de\/?$/, "/");
    if (chosen.get("language") === "de") there.pathname = there.pathname.replace(/\/?$/, "/de");
    const asked = there.searchParams;
    for (const name of ["stage", "embed", "hide", "__theme"]) asked.delete(name);
    asked.set("lang", chosen.get("language"));
    asked.set("v", window.svLinkVersion);
    if (!asked.has("tab") && !asked.has("scene")) asked.set("tab", window.steuervektor.tabs.current());
    if (chosen.get("opens") === "stage") asked.set("stage", "1");
    if (chosen.getAll("hide").length) asked.set("hide", chosen.getAll("hide").join(","));
    if (kind === "embed") asked.set("embed", "1");
    return there.href;
  }
  function attribute(text) {
    return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  }
  function fill() {
    const address = link();
    document.getElementById("sv-share-link").value = address;
    document.getElementById("sv-share-embed").value = `<iframe src="${attribute(link("embed"))}" width="100%" height="720" loading="lazy" allow="fullscreen"></iframe>`
      + "<script>addEventListener('message',e=>{for(const f of document.querySelectorAll('iframe'))if(f.contentWindow===e.source&&e.data?.steuervektor)f.height=e.data.steuervektor.height})<\/script>";
    const picture = document.getElementById("sv-share-qr");
    document.getElementById("sv-share-qr-note").textContent = "";
    picture.hidden = false;
    picture.src = "qr?text=" + encodeURIComponent(address);
    picture.onerror = () => {
      picture.hidden = true;
      document.getElementById("sv-share-qr-note").textContent = window.svShare.qr_too_long;
    };
  }
  document.addEventListener("change", (event) => {
    if (event.target instanceof Element && event.target.closest("#sv-share")) fill();
  });
  document.addEventListener("click", async (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("[data-share]")) {
      document.getElementById("sv-share").showModal();
      return fill();
    }
    const copy = target?.closest("[data-copy]");
    if (!copy) return;
    const field = document.getElementById(copy.dataset.copy);
    field.select();
    // without https there is no clipboard; where this fails, too, the text is selected for Ctrl+C
    try { await navigator.clipboard.writeText(field.value); } catch { if (!document.execCommand("copy")) return; }
    const usual = copy.dataset.usual ??= copy.textContent;
    copy.textContent = copy.dataset.done;
    setTimeout(() => { copy.textContent = usual; }, 2000);
  });
})();
