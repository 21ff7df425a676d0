// Every station is a door: it opens its tab, which shows the same prompt in full.
element.addEventListener("click", (event) => {
  const station = event.target.closest("[data-door]");
  if (!station) return;
  document.getElementById(`tab-${station.dataset.door}-button`)?.click();
  window.scrollTo({ top: 0 });
});

// A film and a sound cost more than all before them: they are made when somebody sees their place, or saves it.
function ask() {
  const row = element.querySelector("[data-asks]");
  if (!row) return;
  delete row.dataset.asks;
  row.dataset.asked = "";
  trigger("submit");
}
const saved = () => "journeySaved" in document.documentElement.dataset; // asked for before there was a picture
const sight = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting || saved()) ask(); }, { rootMargin: "25%" });
function look() {
  sight.unobserve(element);
  sight.observe(element); // tells of the present state, too
}
element.addEventListener("sv-ask", ask);
watch("value", look);
look();
