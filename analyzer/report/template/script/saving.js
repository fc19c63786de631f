/* Taking things away: a figure as SVG or PNG, a table as CSV. */
function saved(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "save";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
function quoted(text) { return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text; }
function csv(table) {
  const lines = [[...table.tHead.rows[0].cells].map((cell) => quoted(cell.textContent.trim())).join(",")];
  for (const row of table.tBodies[0].rows) {
    if (row.hidden || row.classList.contains("filtered")) continue;
    lines.push([...row.cells].map((cell) => quoted(cell.dataset.value ?? cell.textContent.trim())).join(","));
  }
  return lines.join("\r\n") + "\r\n";
}
function offerTable(sheet) {
  const name = sheet.id.replace("table-", "");
  const act = () => saved(`${name}.csv`, [csv(sheet.querySelector("table"))], "text/csv;charset=utf-8");
  sheet.querySelector(".sheet-head").append(button("CSV", `Save as CSV: ${sheet.querySelector(".title").textContent}`, act));
}
function offerFigure(figure) {
  const head = figure.element.parentElement.querySelector("figcaption");
  const title = head.querySelector(".title").textContent, offers = document.createElement("span");
  offers.className = "offers";
  for (const format of ["svg", "png"]) {
    offers.append(button(format.toUpperCase(), `Save as ${format.toUpperCase()}: ${title}`, () => {
      if (!figure.isDrawn) draw(figure);
      if (!figure.isDrawn) return;
      Plotly.downloadImage(figure.element, { format, filename: figure.name, width: figure.element.clientWidth, height: figure.element.clientHeight, scale: format === "png" ? 2 : 1 });
    }));
  }
  head.append(offers);
}
