// Before anything is painted: the chosen scheme, if one was chosen.
"use strict";
(() => {
  const key = "optimizer-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem(key); } catch { /* storage may be forbidden */ }
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  const told = () => document.dispatchEvent(new Event("theme"));
  system.addEventListener("change", told);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem(key, root.dataset.theme); } catch { /* it holds for this page */ }
    told();
  });
})();
