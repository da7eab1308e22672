// Day or reading room. A plain script in the head, not a module: it must run before the first
// paint, so that a dark room is never lit up by a flash.
(() => {
  const KEY = "waypost-theme";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  // A browser may refuse storage (private windows); the theme then follows the device.
  const remembered = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem(KEY, theme); } catch { /* it lasts for this page only */ }
  };
  const isRoom = () => (root.dataset.theme ?? (prefersDark.matches ? "room" : "day")) === "room";

  const chosen = remembered();
  if (chosen === "room" || chosen === "day") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isRoom()));
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      root.dataset.theme = isRoom() ? "day" : "room";
      remember(root.dataset.theme);
      show();
    });
    prefersDark.addEventListener("change", show);
  });
})();
