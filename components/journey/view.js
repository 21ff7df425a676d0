// Every station is a door: it opens its tab, which shows the same prompt in full.
element.addEventListener("click", (event) => {
  const station = event.target.closest("[data-door]");
  if (!station) return;
  document.getElementById(`tab-${station.dataset.door}-button`)?.click();
  window.scrollTo({ top: 0 });
});
