/* Sums, curves and tables under a filter: added up over the strata (connection, logical unit, operation)
   that pass. Counts and means are exact; percentiles are known to the width of a cell of latency. */
function strataOf(study) {
  const packed = study.data.strata;
  if (!packed) return null;
  if (!study.strata) {
    study.strata = { perDecade: packed.per_decade };
    for (const [name, column] of Object.entries(packed.columns)) study.strata[name] = unpack(column);
  }
  return study.strata;
}
const isFiltered = (study) => Object.keys(study.filter).length > 0;
function chosenStrata(study, keys) {
  const strata = strataOf(study), wanted = Object.entries({ ...study.filter }), own = Object.entries(keys || {});
  const chosen = [];
  for (let one = 0; one < strata.requests.length; one++) {
    if ([...wanted, ...own].every(([name, value]) => strata[name][one] === value)) chosen.push(one);
  }
  return chosen;
}
function added(column, chosen) { return chosen.reduce((sum, one) => sum + column[one], 0); }
function perInterval(strata, name, chosen) {
  const bins = strata.edges.length - 1, sums = new Float64Array(bins);
  for (const one of chosen) for (let bin = 0; bin < bins; bin++) sums[bin] += strata[name][one * bins + bin];
  return sums;
}
/* Numbers of commands by cell of latency, from fast to slow: [cell, number so far] and the whole number. */
function latencyCells(strata, chosen) {
  const is = new Set(chosen), numbers = new Map();
  strata.cell_stratum.forEach((one, place) => {
    if (is.has(one)) numbers.set(strata.cell[place], (numbers.get(strata.cell[place]) || 0) + strata.cell_number[place]);
  });
  let total = 0;
  const steps = [...numbers].sort((a, b) => a[0] - b[0]).map(([cell, number]) => [cell, total += number]);
  return { steps, total };
}
function latencyPercentile(strata, { steps, total }, share) {
  const found = steps.find((step) => step[1] >= total * share / 100);
  return found ? 10 ** ((found[0] + 0.5) / strata.perDecade) : NaN;
}
function meanPart(strata, chosen, part) {
  const number = added(strata.completed, chosen), columns = strata.parts_ns.length / strata.requests.length;
  return number ? chosen.reduce((sum, one) => sum + strata.parts_ns[one * columns + part], 0) / number : 0;
}
function filteredParts(series, strata, chosen) {
  const operations = series.hover.find((hover) => hover.key === "operation").column;
  const x = new Float64Array(operations.length), end = new Float64Array(operations.length), means = new Float64Array(operations.length);
  for (let row = 0; row < operations.length; row++) {
    const mine = chosen.filter((one) => strata.operation[one] === operations[row]);
    for (let part = 0; part < series.keys.part; part++) x[row] += meanPart(strata, mine, part) / 1e6;
    means[row] = meanPart(strata, mine, series.keys.part);
    end[row] = x[row] + means[row] / 1e6;
  }
  return { ...series, x, end, hover: series.hover.map((hover) => (hover.unit === "ns" ? { ...hover, column: means } : hover)) };
}
const RATES = { completions: ["completions", 1], throughput: ["moved_bytes", 1e6], in_flight: ["in_flight", 0] };
function filteredSeries(series) {
  const { study, spec } = series.figure;
  if (!isFiltered(study) || !spec.sum || !strataOf(study)) return series;
  const strata = strataOf(study), chosen = chosenStrata(study, spec.sum === "parts" ? {} : series.keys);
  if (spec.sum === "latency") {
    const cells = latencyCells(strata, chosen);
    return { ...series, x: cells.steps.map(([cell]) => 10 ** ((cell + 1) / strata.perDecade) / 1e6), y: cells.steps.map((step) => 100 * step[1] / cells.total) };
  }
  if (spec.sum === "parts") return filteredParts(series, strata, chosen);
  const [name, unit] = RATES[spec.sum], sums = perInterval(strata, name, chosen), y = new Float64Array(sums.length + 1);
  sums.forEach((sum, bin) => { y[bin] = unit ? sum / unit / (strata.edges[bin + 1] - strata.edges[bin]) : sum; });
  return { ...series, x: strata.edges, y };
}

/* Tables: rows of what does not pass go; figures that are sums are added up anew. */
const SUMS = {
  requests: (strata, chosen) => [added(strata.requests, chosen), ""],
  share: (strata, chosen, all) => [added(strata.requests, chosen) / (added(strata.requests, all) || 1), "share"],
  completed: (strata, chosen) => [added(strata.completed, chosen), ""],
  target_share: (strata, chosen) => [meanPart(strata, chosen, 2) / (added(strata.latency_ns, chosen) / added(strata.completed, chosen)), "share"],
  failed: (strata, chosen) => [added(strata.requests, chosen) - added(strata.completed, chosen), ""],
  mean: (strata, chosen) => [added(strata.latency_ns, chosen) / added(strata.completed, chosen), "ns"],
  max: (strata, chosen) => [Math.max(...chosen.map((one) => strata.latency_ns_max[one])), "ns"],
  sending: (strata, chosen) => [meanPart(strata, chosen, 0), "ns"],
  order_wait: (strata, chosen) => [meanPart(strata, chosen, 1), "ns"],
  target: (strata, chosen) => [meanPart(strata, chosen, 2), "ns"],
  answer: (strata, chosen) => [meanPart(strata, chosen, 3), "ns"],
};
function sumOf(strata, name, chosen, all) {
  if (!name.startsWith("p") || !(name.slice(1) > 0)) return [...SUMS[name](strata, chosen, all), ""];
  return [latencyPercentile(strata, latencyCells(strata, chosen), Number(name.slice(1))), "ns", "≈ "];
}
function restate(study, row, headings) {
  const strata = strataOf(study), all = chosenStrata(study), mine = chosenStrata(study, { operation: Number(row.dataset.operation) });
  headings.forEach((heading, place) => {
    const cell = row.cells[place];
    if (!heading.dataset.sum) return;
    if (cell.dataset.whole === undefined) { cell.dataset.whole = cell.textContent; cell.dataset.wholeValue = cell.dataset.value ?? ""; }
    if (!isFiltered(study)) {
      cell.textContent = cell.dataset.whole;
      if (cell.dataset.wholeValue) cell.dataset.value = cell.dataset.wholeValue;
      return;
    }
    const [value, unit, about] = sumOf(strata, heading.dataset.sum, mine, all);
    cell.dataset.value = value;
    cell.textContent = about + (unit === "share" ? words(100 * value, "%") : words(value, unit));
  });
}
function filterTables(study) {
  for (const table of study.element.querySelectorAll(".sheet table")) {
    const headings = [...table.tHead.rows[0].cells], hasSums = strataOf(study) && headings.some((one) => one.dataset.sum);
    for (const row of table.tBodies[0].rows) {
      row.classList.toggle("filtered", FILTERS.some((name) => row.dataset[name] !== undefined && study.filter[name] !== undefined && Number(row.dataset[name]) !== study.filter[name]));
      if (hasSums) restate(study, row, headings);
    }
  }
}
function countFiltered(study) {
  const place = study.element.querySelector(".filters output");
  if (!place) return;
  if (!isFiltered(study)) { place.textContent = ""; return; }
  const strata = strataOf(study);
  if (!strata) { place.textContent = "Single commands only: too many logical units and operations to add up."; return; }
  const chosen = chosenStrata(study), number = added(strata.requests, chosen), all = strata.requests.reduce((sum, one) => sum + one, 0);
  const median = latencyPercentile(strata, latencyCells(strata, chosen), 50);
  place.textContent = number
    ? `${number.toLocaleString("en")} of ${all.toLocaleString("en")} commands, half within about ${words(median, "ns")}. Plots and tables of the recording show these; sentences and replays count all.`
    : "No command is left.";
}
