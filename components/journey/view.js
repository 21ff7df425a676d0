// Every station is a door: it opens its tab, which shows the same prompt in full.
element.addEventListener("click", (event) => {
  const station = event.target.closest("[data-door]");
  if (!station) return;
  document.getElementById(`tab-${station.dataset.door}-button`)?.click();
  window.scrollTo({ top: 0 });
});

// A film and a sound cost more than all before them: they are made when somebody sees their place, or saves it.
let wanted = false; // kept here: a view that the run before had sent already may come after the mark, and takes it away
function ask() {
  if (!wanted) return;
  wanted = false;
  const row = element.querySelector("[data-state]");
  delete row?.dataset.asks;
  row?.setAttribute("data-asked", "");
  trigger("submit");
}
const saved = () => "journeySaved" in document.documentElement.dataset; // asked for before there was a picture
const sight = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting || saved()) ask(); }, { rootMargin: "25%" });
function look() {
  wanted ||= Boolean(element.querySelector("[data-asks]"));
  sight.unobserve(element);
  sight.observe(element); // tells of the present state, too
}
element.addEventListener("sv-ask", ask);
watch("value", look);
look();
