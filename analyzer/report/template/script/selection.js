/* One command or incident chosen: told in a panel, and marked wherever it is drawn or listed. */
const panel = document.getElementById("life");
function taskColumn(series) { return series.hover.find((hover) => hover.key === "task"); }
function select(study, { task = null, incident = null }) {
  study.selected = task;
  study.incident = incident;
  for (const figure of study.figures) figure.isStale = true;
  for (const row of study.element.querySelectorAll("tr[data-task]")) {
    row.classList.toggle("selected", Number(row.dataset.task) === task);
  }
  showChosen(study);
  showAddress();
  refresh(study);
}
function selectTask(study, task) { select(study, { task }); }
function showChosen(study) {
  panel.hidden = true;
  showIncident(study);
  if (study.selected !== null) showLife(study);
}
function openPanel(title, list, view) {
  panel.hidden = false;
  panel.querySelector("h2").textContent = title;
  panel.querySelector("dl").replaceWith(list);
  const zoom = panel.querySelector("[data-life=zoom]");
  zoom.hidden = !view;
  zoom.onclick = () => setView(shown, view);
}
function highlighted(figure) {
  const { study } = figure, incident = chosenIncident(study);
  const wanted = new Set(incident ? incident.tasks : study.selected === null ? [] : [study.selected]);
  if (!wanted.size) return [];
  const points = { x: [], y: [] }, bars = { base: [], x: [], y: [] };
  for (const series of figure.series) {
    const column = taskColumn(series);
    if (!column) continue;
    column.column.forEach((task, index) => {
      if (!wanted.has(task)) return;
      if (series.shape === "bars") {
        bars.base.push(series.x[index]); bars.x.push(series.end[index] - series.x[index]); bars.y.push(series.y[index]);
      }
      points.x.push(series.end ? (series.x[index] + series.end[index]) / 2 : series.x[index]);
      points.y.push(series.y[index]);
    });
  }
  if (!points.x.length) return [];
  const name = incident ? "held by the incident" : `task ${study.selected}`;
  const plain = { name, hoverinfo: "skip", showlegend: true, legendgroup: name };
  const made = [{
    ...plain, type: "scatter", mode: "markers", ...points,
    marker: { symbol: "circle-open", size: incident ? 11 : 17, color: color("bad"), line: { width: incident ? 1.5 : 2.5 } },
  }];
  if (bars.x.length) {
    made.unshift({
      ...plain, showlegend: false, type: "bar", orientation: "h", ...bars, width: 0.94,
      marker: { color: "rgba(0,0,0,0)", line: { color: color("bad"), width: 2.5 } },
    });
  }
  return made;
}

function lifeOf(study, task) {
  const packed = study.data.lives;
  if (!study.lives) {
    study.lives = { task: unpack(packed.task), facts: {}, moments: packed.moments.map(unpack) };
    for (const [name, column] of Object.entries(packed.facts)) study.lives.facts[name] = unpack(column);
  }
  const place = study.lives.task.indexOf(task);
  if (place < 0) return null;
  const fact = (name) => {
    const value = study.lives.facts[name][place];
    if (!Number.isFinite(value)) return null;
    return packed.names[name] ? packed.names[name][value] : value;
  };
  return { fact, moments: study.lives.moments.map((column) => column[place]), labels: packed.labels };
}
function line(list, label, text) {
  if (text === null || text === "") return;
  const term = document.createElement("dt"), detail = document.createElement("dd");
  term.textContent = label;
  detail.textContent = text;
  list.append(term, detail);
}
function whole(value) { return value === null ? null : value.toLocaleString("en"); }
function showLife(study) {
  const life = lifeOf(study, study.selected), list = document.createElement("dl");
  const title = `Task ${study.selected}` + (life ? `, ${life.fact("operation")}` : "");
  let view = null;
  if (!life) {
    line(list, "Not kept", "This page keeps the lives of the longest commands and of an even choice of the others; the timeline folder has all.");
  } else {
    line(list, "LUN, block", [life.fact("lun"), whole(life.fact("lba")), life.fact("blocks") === null ? null : `${whole(life.fact("blocks"))} blocks`].filter((one) => one !== null).join(", "));
    line(list, "Sent", `${life.fact("sent").toFixed(6)} s on ${life.fact("connection")}`);
    line(list, "CmdSN, ITT", `${life.fact("cmd_sn")}, 0x${life.fact("itt").toString(16)}`);
    life.moments.forEach((after, place) => {
      if (Number.isFinite(after)) line(list, life.labels[place], "+" + words(after, "ns"));
    });
    if (life.fact("answering") !== null && life.fact("answering") !== life.fact("connection")) line(list, "answered on", life.fact("answering"));
    line(list, "Result", life.fact("end") === "responded" ? life.fact("status") : life.fact("end"));
    line(list, "Data", words(life.fact("bytes"), "bytes"));
    line(list, "In flight", `${life.fact("outstanding")} others`);
    if (life.fact("moved")) line(list, "Retried, reassigned", `${life.fact("moved")} times`);
    if (life.fact("retry_of") !== null) line(list, "Re-issue of", `task ${life.fact("retry_of")}`);
    const from = life.fact("sent"), last = Math.max(...life.moments.filter(Number.isFinite), 1000) / 1e9;
    view = [from - last, from + 2 * last];
    line(list, "Packets", [life.fact("packet"), life.fact("response_packet")].filter((one) => one !== null).join(", "));
  }
  openPanel(title, list, view);
}
panel.querySelector("[data-life=close]").addEventListener("click", () => select(shown, {}));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) select(shown, {});
});
function watchChoice(row, choose) {
  row.tabIndex = 0;
  row.addEventListener("click", choose);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); } });
}
function watchRows(study) {
  for (const row of study.element.querySelectorAll("tr[data-task]")) watchChoice(row, () => selectTask(study, Number(row.dataset.task)));
}

/* Filters by session, logical unit and operation. What they do to sums stands in sums.js. */
const FILTERS = ["session", "lun", "operation"];
const FILTER_WORDS = { session: "Session", lun: "LUN", operation: "Operation" };
function passes(series, filter) {
  const tests = [];
  for (const hover of series.hover) {
    const wanted = filter[hover.key];
    if (wanted !== undefined) tests.push([hover.column, wanted]);
  }
  return tests.length ? (index) => tests.every(([column, wanted]) => column[index] === wanted) : null;
}
function setFilter(study, name, value) {
  if (value === null) delete study.filter[name];
  else study.filter[name] = value;
  for (const select of study.element.querySelectorAll(".filters select")) {
    const chosen = study.filter[select.dataset.filter];
    select.value = chosen === undefined ? "" : String(chosen);
  }
  filterTables(study);
  countFiltered(study);
  for (const figure of study.figures) figure.isStale = true;
  showAddress();
  refresh(study);
}
function buildFilters(study) {
  const place = study.element.querySelector(".filters");
  for (const name of FILTERS) {
    const choices = study.data.filters[name];
    if (!choices || choices.length < 2) continue;
    const label = document.createElement("label"), select = document.createElement("select");
    select.dataset.filter = name;
    select.append(new Option("all", ""));
    for (const [value, text] of choices) select.append(new Option(text, value));
    select.addEventListener("change", () => setFilter(study, name, select.value === "" ? null : Number(select.value)));
    label.append(FILTER_WORDS[name] + " ", select);
    place.append(label);
  }
  place.hidden = !place.children.length;
  place.append(document.createElement("output"));
}
