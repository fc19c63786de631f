/* Light or dark: by the reader's choice, else by the system's; on paper always light. */
const root = document.documentElement;
const PALETTE = JSON.parse(document.getElementById("page-data").textContent).palette;
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let isPrinting = false;
function isDark() {
  if (isPrinting) return false;
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
}
function color(role) { return PALETTE[role][isDark() ? 1 : 0]; }
function faded(role, share) {
  const value = parseInt(color(role).slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${share})`;
}
function remember(key, value) { try { localStorage.setItem(key, value); } catch { /* storage may be forbidden */ } }
function recall(key) { try { return localStorage.getItem(key); } catch { return null; } }
const themeButton = document.getElementById("theme");
function showTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  themeButton.setAttribute("aria-pressed", String(isDark()));
}
const stored = recall("theme");
if (stored === "dark" || stored === "light") root.dataset.theme = stored;
themeButton.hidden = false;
showTheme();
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  remember("theme", root.dataset.theme);
  showTheme();
  redrawAll();
});
prefersDark.addEventListener("change", () => { showTheme(); redrawAll(); });
