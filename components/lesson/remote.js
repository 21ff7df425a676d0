// The lecturer's phone: the secret stands behind the # of its address, so that no log keeps it.
(function () {
  "use strict";
  const words = JSON.parse(document.body.dataset.words);
  const secret = new URLSearchParams(location.hash.slice(1)).get("s") || "";
  document.querySelector("[data-other]").addEventListener("click", (event) => {
    event.preventDefault();
    location.replace(`?lang=${event.target.lang}${location.hash}`);
  });
  const main = document.getElementById("main");
  if (secret) window.svLead(main, words, secret, "");
  else main.textContent = words.no_secret;
})();
