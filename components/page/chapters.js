// Chapters as menus, in one row with the tabs of the one that is open (`header.html` has both and the rules).
(function () {
  "use strict";
  const tabs = () => window.steuervektor.tabs;
  const all = () => document.querySelectorAll("#sv-chapters > button");

  const mark = (element, here) => (here ? element.setAttribute("aria-current", "true") : element.removeAttribute("aria-current"));

  // Which chapter is open, for those who do not see it; on a phone the row scrolls, and the open tab stays in sight.
  function follow() {
    const tab = tabs().open(), row = tab?.closest(".tab-wrapper"), stem = tabs().stem(tab);
    if (!row) return;
    const chapters = document.getElementById("sv-chapters");
    if (chapters && chapters.parentElement !== row) row.prepend(chapters);
    for (const one of all()) mark(one, one.dataset.stems.split(" ").includes(stem));
    for (const item of document.querySelectorAll(".sv-chapter-menu [data-opens]")) mark(item, item.dataset.opens === stem);
    if (row.scrollWidth <= row.clientWidth) return;
    const own = tab.getBoundingClientRect(), whole = row.getBoundingClientRect();
    row.scrollBy({ left: own.left + own.width / 2 - whole.left - whole.width / 2 });
  }
  new MutationObserver(follow).observe(document.documentElement, {
    subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-restored"],
  });

  function place(menu, button) {
    const box = button.getBoundingClientRect();
    menu.style.top = `${Math.max(8, Math.min(box.bottom + 2, innerHeight - menu.offsetHeight - 8))}px`; // the row may stand low
    menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8))}px`;
  }
  const buttonOf = (menu) => document.querySelector(`[popovertarget="${menu.id}"]`);
  const menuOf = (event) => (event.target instanceof Element && event.target.matches(".sv-chapter-menu") ? event.target : null);
  document.addEventListener("toggle", (event) => {
    const menu = menuOf(event), button = menu && buttonOf(menu);
    if (!button) return;
    const open = event.newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    place(menu, button);
    (menu.querySelector("[aria-current]") || menu.querySelector("[data-opens]")).focus();
  }, true);
  document.addEventListener("click", ({ target }) => {
    const item = target instanceof Element && target.closest(".sv-chapter-menu [data-opens]");
    if (!item) return;
    item.closest(".sv-chapter-menu").hidePopover();
    const tab = tabs().button(item.dataset.opens);
    tab.click();
    tab.focus({ preventScroll: true });
  });
  // Arrow keys within a menu and from chapter to chapter.
  document.addEventListener("keydown", (event) => {
    const menu = event.target instanceof Element && event.target.closest(".sv-chapter-menu");
    if (!menu) return;
    const items = [...menu.querySelectorAll("[data-opens]")], at = items.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    const chapters = [...all()], by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (to === undefined && !by) return;
    event.preventDefault();
    if (to !== undefined) return items[(to + items.length) % items.length].focus();
    const here = chapters.findIndex((one) => one.getAttribute("popovertarget") === menu.id);
    menu.hidePopover();
    document.getElementById(chapters[(here + by + chapters.length) % chapters.length].getAttribute("popovertarget")).showPopover();
  });
  addEventListener("scroll", () => {
    const menu = document.querySelector(".sv-chapter-menu:popover-open");
    if (menu) place(menu, buttonOf(menu));
  }, { passive: true, capture: true });
})();
