/* Incidents: a band with a handle in every plot over time of the recording. One is chosen by its handle, its
   row or its story; then its band, its row, its story and the commands that it held stand out. */
const INCIDENTS_MARKED = 60;
function chosenIncident(study) { return study.data.incidents.find((one) => one.index === study.incident) || null; }
function markedIncidents(figure) {
  if (figure.spec.x.kind !== "capture-time") return [];
  const { incidents } = figure.study.data, chosen = chosenIncident(figure.study);
  const longest = incidents.slice(0, INCIDENTS_MARKED);
  return chosen && !longest.includes(chosen) ? [...longest, chosen] : longest;
}
function bands(figure) {
  return markedIncidents(figure).map(({ from, to, index }) => {
    const isChosen = index === figure.study.incident;
    return {
      type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, layer: "below",
      fillcolor: faded("bad", isChosen ? 0.22 : 0.07), line: { color: faded("bad", isChosen ? 1 : 0.35), width: isChosen ? 2 : 1 },
    };
  });
}
/* A band that reaches into the window from the left has its handle at the window's edge. */
function handles(figure) {
  const { view, incident } = figure.study;
  return markedIncidents(figure).map(({ from, to, index, title }) => ({
    x: view && to > view[0] ? Math.max(from, view[0]) : from, y: 1, yref: "paper", xanchor: "left", yanchor: "top", text: "▾", showarrow: false,
    captureevents: true, hovertext: escaped(title), font: { color: color("bad"), size: index === incident ? 20 : 15 },
  }));
}
function watchHandles(figure) {
  figure.element.on("plotly_clickannotation", (event) => {
    const incident = markedIncidents(figure)[event.index];
    if (incident) selectIncident(figure.study, incident.index);
  });
}
function selectIncident(study, index) { select(study, { incident: index }); }
function showIncident(study) {
  const incident = chosenIncident(study), list = document.createElement("dl");
  for (const place of study.element.querySelectorAll("[data-incident]")) {
    place.classList.toggle("selected", incident !== null && Number(place.dataset.incident) === incident.index);
  }
  if (!incident) return;
  line(list, "Lasts", words((incident.to - incident.from) * 1e9, "ns"));
  if (incident.held) line(list, "Held", `${whole(incident.held)} ${incident.held === 1 ? "command" : "commands"}`);
  if (incident.tasks.length < incident.held) line(list, "Ringed", `the first ${whole(incident.tasks.length)} of them`);
  line(list, "What happened", incident.summary);
  openPanel(incident.title, list, around(incident.from, incident.to));
}
function around(from, to) {
  const pad = Math.max((to - from) * 0.3, 1e-4);
  return [from - pad, to + pad];
}
function watchIncidents(study) {
  for (const row of study.element.querySelectorAll("tr[data-incident]")) watchChoice(row, () => selectIncident(study, Number(row.dataset.incident)));
  for (const button of study.element.querySelectorAll(".look")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const index = Number(button.closest("[data-incident]").dataset.incident);
      const { from, to } = study.data.incidents.find((one) => one.index === index);
      selectIncident(study, index);
      setView(study, around(from, to));
      const place = study.figures.find((figure) => figure.name === "commands");
      if (place) place.element.parentElement.scrollIntoView();
    });
  }
}
