/* The studies of the page, one in sight at a time. A study is unpacked when it is first shown and
   its plots are drawn when they come near, so one that nobody looks at costs nothing. */
const studies = [...document.querySelectorAll(".study")].map((element) => ({
  element, name: element.id, view: null, whole: null, selected: null, incident: null, filter: {}, data: null, lives: null, figures: [], isReady: false,
}));
let shown = null;

function prepare(study) {
  if (study.isReady) return;
  study.isReady = true;
  study.data = JSON.parse(study.element.querySelector(".study-data").textContent);
  for (const element of study.element.querySelectorAll("[data-figure]")) {
    const name = element.dataset.figure, spec = study.data.figures[name];
    study.figures.push({
      study, element, name, spec, series: null, grown: 0, isDrawn: false, isStale: true, isNear: false,
      isOnTime: spec.x.kind === "capture-time" || spec.x.kind === "replay-time",
    });
  }
  const onTime = study.figures.filter((figure) => figure.isOnTime);
  if (onTime.length) study.whole = onTime.find((figure) => figure.spec.x.kind === "capture-time").spec.x.range;
  for (const sheet of study.element.querySelectorAll(".sheet")) enliven(sheet);
  for (const figure of study.figures) offerFigure(figure);
  buildFilters(study);
  watchRows(study);
  watchIncidents(study);
  for (const figure of onTime) watchKeys(figure);
  watchFigures(study);
  watchWindow(study, onTime);
  watchContents(study);
}
function watchFigures(study) {
  const figureOf = new Map(study.figures.map((figure) => [figure.element, figure]));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) figureOf.get(entry.target).isNear = entry.isIntersecting;
    refresh(study);
  }, { rootMargin: "600px 0px" });
  for (const element of figureOf.keys()) near.observe(element);
}
function watchWindow(study, onTime) {
  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? inSight.add(entry.target) : inSight.delete(entry.target);
    if (study === shown) bar.hidden = inSight.size === 0;
  }, { rootMargin: "-30% 0px -30% 0px" });
  for (const figure of onTime) observer.observe(figure.element);
}
function watchContents(study) {
  const links = new Map([...study.element.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const here = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of study.element.querySelectorAll("section")) here.observe(section);
}

function show(study) {
  shown = study;
  for (const other of studies) other.element.hidden = other !== study;
  for (const tab of tabs) {
    const isChosen = tab.getAttribute("aria-controls") === study.name;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
  }
  bar.hidden = true;
  prepare(study);
  showWindow(study);
  showChosen(study);
}

/* The switch: links to the studies without script, tabs with it. */
const tabs = [...document.querySelectorAll(".studies a")];
for (const tab of tabs) {
  const study = studies.find((one) => "#" + one.name === tab.hash);
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", study.name);
  tab.closest("nav").setAttribute("role", "tablist");
  study.element.setAttribute("role", "tabpanel");
  study.element.setAttribute("aria-labelledby", tab.id);
  const choose = () => { show(study); showAddress(); };
  tab.addEventListener("click", (event) => { event.preventDefault(); choose(); });
  tab.addEventListener("keydown", (event) => {
    const place = tabs.indexOf(tab), last = tabs.length - 1;
    const next = { ArrowRight: place < last ? place + 1 : 0, ArrowLeft: place ? place - 1 : last, Home: 0, End: last }[event.key];
    if (event.key === " ") choose();
    else if (next !== undefined) { tabs[next].focus(); tabs[next].click(); }
    else return;
    event.preventDefault();
  });
}

/* The address: "#study=s2&view=0.1,0.2" is a state of the page, "#s2-latency" a place in it. */
function showAddress() {
  const parts = [];
  if (studies.length > 1) parts.push(`study=${shown.name}`);
  if (shown.view) parts.push(`view=${shown.view.map((moment) => moment.toFixed(9)).join(",")}`);
  if (shown.selected !== null) parts.push(`task=${shown.selected}`);
  if (shown.incident !== null) parts.push(`incident=${shown.incident}`);
  for (const name of FILTERS) if (shown.filter[name] !== undefined) parts.push(`${name}=${shown.filter[name]}`);
  if (!parts.length && !location.hash.includes("=")) return;
  try { history.replaceState(null, "", "#" + parts.join("&")); } catch { /* some viewers forbid it */ }
}
function followAddress() {
  const mark = location.hash.slice(1);
  if (mark.includes("=") || !mark) {
    const state = new Map(mark.split("&").map((part) => part.split("=", 2)));
    show(studies.find((study) => study.name === state.get("study")) || shown || studies[0]);
    const view = /^(-?[\d.]+),(-?[\d.]+)$/.exec(state.get("view") || "");
    const numberOf = (name) => (/^\d+$/.test(state.get(name) || "") ? Number(state.get(name)) : null);
    // What the address does not name is as it is on a page just opened.
    for (const name of FILTERS) if (numberOf(name) !== (shown.filter[name] ?? null)) setFilter(shown, name, numberOf(name));
    const task = numberOf("task"), incident = numberOf("incident");
    if (task !== shown.selected || incident !== shown.incident) select(shown, { task, incident });
    const wanted = view && [Number(view[1]), Number(view[2])];
    if (shown.whole && String(wanted) !== String(shown.view)) setView(shown, wanted);
    return;
  }
  const place = document.getElementById(mark);
  const study = place && studies.find((one) => one.element.contains(place));
  if (!study || study === shown) { if (!shown) show(studies[0]); return; }
  show(study);
  place.scrollIntoView({ behavior: "instant" });
}
window.addEventListener("hashchange", followAddress);
/* On paper nothing can be opened or scrolled to: all is open and drawn. */
let opened = [];
window.addEventListener("beforeprint", () => {
  isPrinting = true;
  opened = [...document.querySelectorAll("details:not([open]):not(.folded)")];
  for (const one of opened) one.open = true;
  for (const study of studies) {
    study.element.hidden = false;
    prepare(study);
    for (const figure of study.figures) draw(figure);
  }
});
window.addEventListener("afterprint", () => {
  isPrinting = false;
  for (const one of opened) one.open = false;
  show(shown);
  redrawAll();
});
followAddress();
