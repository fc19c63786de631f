/* Tables: sorted by a click on a heading, searched by words. */
function sortKey(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent;
}
function inOrder(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b, "en", { numeric: true });
}
function enliven(sheet) {
  offerTable(sheet);
  const table = sheet.querySelector("table");
  const body = table.tBodies[0];
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const isRising = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", isRising ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [sortKey(row, heading.cellIndex), row]);
      rows.sort((a, b) => (isRising ? inOrder(a[0], b[0]) : inOrder(b[0], a[0])));
      body.append(...rows.map((pair) => pair[1]));
    });
  }
  const search = sheet.querySelector("input[type=search]");
  if (!search) return;
  search.hidden = false;
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
    }
  });
}
