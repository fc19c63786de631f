/* One window of time for all plots over time of a study, in the address of the page too. */
const bar = document.getElementById("window");
function moved(study, change) {
  if (change["xaxis.autorange"]) return setView(study, null);
  const range = change["xaxis.range"] || (change["xaxis.range[0]"] !== undefined ? [change["xaxis.range[0]"], change["xaxis.range[1]"]] : null);
  if (range) setView(study, range.map(Number));
}
function setView(study, wanted) {
  study.view = wanted ? clipped(study.whole, ...wanted) : null;
  showWindow(study);
  showAddress();
  for (const figure of study.figures) if (figure.isOnTime) figure.isStale = true;
  refresh(study);
}
const SHORTEST_S = 1e-7;
function clipped(whole, from, to) {
  if (!(to - from >= SHORTEST_S)) { const middle = (from + to) / 2; from = middle - SHORTEST_S / 2; to = middle + SHORTEST_S / 2; }
  from = Math.max(from, whole[0]);
  to = Math.min(to, whole[1]);
  return to - from >= (whole[1] - whole[0]) * 0.999 || !(to > from) ? null : [from, to];
}
function showWindow(study) {
  if (!study.whole) return;
  const [from, to] = study.view || study.whole;
  const digits = Math.min(9, Math.max(1, Math.ceil(2 - Math.log10(to - from))));
  document.getElementById("window-text").textContent = study.view
    ? `${from.toFixed(digits)} – ${to.toFixed(digits)} s` : "Whole capture";
  for (const button of bar.querySelectorAll("button")) button.disabled = !study.view && button.dataset.move !== "closer";
}
const MOVES = {
  earlier: (from, to) => [from - (to - from) / 2, to - (to - from) / 2],
  later: (from, to) => [from + (to - from) / 2, to + (to - from) / 2],
  closer: (from, to) => [from + (to - from) / 4, to - (to - from) / 4],
  wider: (from, to) => [from - (to - from) / 2, to + (to - from) / 2],
};
function kept(whole, from, to) {
  const shift = Math.max(0, whole[0] - from) - Math.max(0, to - whole[1]);
  return [from + shift, to + shift];
}
function move(study, way) {
  if (way === "all") setView(study, null);
  else if (way) setView(study, kept(study.whole, ...MOVES[way](...(study.view || study.whole))));
}
bar.addEventListener("click", (event) => move(shown, event.target.dataset.move));
const KEYS = { ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "=": "closer", "-": "wider", Home: "all" };
function watchKeys(figure) {
  figure.element.tabIndex = 0;
  figure.element.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight + - Home");
  figure.element.addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(figure.study, KEYS[event.key]);
  });
}
