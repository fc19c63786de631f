/* Plots from series. What is too much to draw at once is thinned for the window in view: bars and
   points by rank, curves to the extremes of each pixel column. Numbers are computed before, not here. */
const BARS_AT_ONCE = 2500;
const POINTS_AT_ONCE = 5000;
const CURVE_COLUMNS = 1200;

function inWindow(series, view) {
  const { x, end, shape } = series;
  const total = x.length;
  if (shape === "heat") return heatCells(series);
  const filter = passes(series, series.figure.study.filter);
  const isCurve = shape === "line" || shape === "steps" || shape === "band";
  const chosen = [];
  if (!view) { for (let i = 0; i < total; i++) if (!filter || filter(i)) chosen.push(i); return chosen; }
  if (isCurve) {
    let first = 0, last = total - 1;
    while (first + 1 < total && x[first + 1] <= view[0]) first++;
    while (last - 1 >= 0 && x[last - 1] >= view[1]) last--;
    for (let i = first; i <= last; i++) chosen.push(i);
    return chosen;
  }
  for (let i = 0; i < total; i++) {
    if ((end ? end[i] : x[i]) >= view[0] && x[i] <= view[1] && (!filter || filter(i))) chosen.push(i);
  }
  return chosen;
}
function heatCells(series) {
  const { study } = series.figure, stratum = series.hover.find((hover) => hover.key === "stratum");
  const all = [...series.x.keys()];
  if (!stratum || !isFiltered(study)) return all;
  const chosen = new Set(chosenStrata(study));
  return all.filter((index) => chosen.has(stratum.column[index]));
}
function thinnedMarks(series, chosen, limit) {
  if (chosen.length <= limit) return chosen;
  const rank = series.rank;
  const kept = new Set();
  if (rank) {
    const byRank = chosen.slice().sort((a, b) => rank[b] - rank[a]);
    for (let i = 0; i < limit / 4; i++) kept.add(byRank[i]);
  }
  const step = chosen.length / (limit - kept.size);
  for (let i = 0; i < chosen.length; i += step) kept.add(chosen[Math.floor(i)]);
  return chosen.filter((index) => kept.has(index));
}
function thinnedCurve(series, chosen) {
  if (chosen.length <= 4 * CURVE_COLUMNS) return chosen;
  const { x, y } = series;
  const from = x[chosen[0]], width = (x[chosen[chosen.length - 1]] - from) / CURVE_COLUMNS || 1;
  const kept = [];
  let place = 0;
  while (place < chosen.length) {
    const column = Math.floor((x[chosen[place]] - from) / width);
    let low = place, high = place, last = place;
    while (last + 1 < chosen.length && Math.floor((x[chosen[last + 1]] - from) / width) === column) {
      last++;
      if (y[chosen[last]] < y[chosen[low]]) low = last;
      if (y[chosen[last]] > y[chosen[high]]) high = last;
    }
    for (const one of [...new Set([place, low, high, last])].sort((a, b) => a - b)) kept.push(chosen[one]);
    place = last + 1;
  }
  return kept;
}

const DRAW = {
  bars(series, chosen) {
    return [{
      type: "bar", orientation: "h", base: picked(series.x, chosen),
      x: chosen.map((index) => series.end[index] - series.x[index]), y: picked(series.y, chosen), width: 0.86,
      marker: { color: color(series.color), line: { color: color(series.color), width: 0.7 } },
    }];
  },
  spans(series, chosen) {
    const x = [], y = [], text = [];
    for (const index of chosen) {
      const words = told(series.hover, index);
      x.push(series.x[index], series.end[index], null);
      y.push(series.y[index], series.y[index], null);
      text.push(words, words, "");
    }
    return [{ type: "scatter", mode: "lines", x, y, hovertext: text, line: { color: color(series.color), width: series.thickness } }];
  },
  points(series, chosen) {
    const isEvent = series.color === "event";
    return [{
      type: "scatter", mode: "markers", x: picked(series.x, chosen), y: picked(series.y, chosen), cliponaxis: !isEvent,
      marker: { color: color(series.color), size: isEvent ? 9 : series.symbol !== "circle" ? 8 : chosen.length > 1500 ? 3.5 : 4.5, symbol: series.symbol, opacity: isEvent ? 1 : 0.8 },
    }];
  },
  line(series, chosen) {
    return [{
      type: "scatter", mode: "lines", x: picked(series.x, chosen), y: picked(series.y, chosen),
      line: { color: color(series.color), width: series.thickness, dash: series.dash },
    }];
  },
  steps(series, chosen) {
    const [trace] = DRAW.line(series, chosen);
    trace.line.shape = "hv";
    return [trace];
  },
  band(series, chosen) {
    const x = picked(series.x, chosen);
    const edge = { color: faded(series.color, 0.8), width: 1, shape: "hv" };
    return [
      { type: "scatter", mode: "lines", x, y: picked(series.end, chosen), line: edge, showlegend: false },
      { type: "scatter", mode: "lines", x, y: picked(series.y, chosen), line: edge, fill: "tonexty", fillcolor: faded(series.color, 0.16) },
    ];
  },
};

DRAW.heat = (series, chosen) => {
  const [width, ratio] = series.cell;
  const left = Math.min(...series.x), low = Math.min(...series.y);
  const column = (x) => Math.round((x - left) / width), row = (y) => Math.round(Math.log(y / low) / Math.log(ratio));
  const columns = column(Math.max(...series.x)) + 1, rows = row(Math.max(...series.y)) + 1;
  const sums = Array.from({ length: rows }, () => new Array(columns).fill(0));
  for (const index of chosen) sums[row(series.y[index])][column(series.x[index])] += series.rank[index];
  const most = sums.reduce((found, line) => Math.max(found, ...line), 1);
  return [{
    type: "heatmap", hovertemplate: "%{text} commands<br>%{x:.6~g} s, %{y:.4~g} ms<extra></extra>", showscale: false,
    z: sums.map((line) => line.map((sum) => (sum ? Math.log10(sum) : null))),
    text: sums.map((line) => line.map((sum) => (sum ? sum.toLocaleString("en") : ""))),
    x: Array.from({ length: columns + 1 }, (_, place) => left + place * width),
    y: Array.from({ length: rows + 1 }, (_, place) => low * ratio ** place),
    colorscale: [[0, faded(series.color, 0.22)], [1, color(series.color)]], zmin: 0, zmax: Math.max(0.5, Math.log10(most)),
  }];
};

function traces(figure) {
  const all = [];
  let low = Infinity, high = -Infinity, left = Infinity, right = -Infinity, seen = 0, drawn = 0;
  const window = figure.isOnTime ? figure.study.view : null;
  const shownSeries = figure.series.map(filteredSeries);
  const marks = shownSeries.filter((one) => one.shape === "bars" || one.shape === "points" || one.shape === "spans");
  const chosenOf = new Map(shownSeries.map((one) => [one, inWindow(one, window)]));
  const markTotal = marks.reduce((sum, one) => sum + chosenOf.get(one).length, 0);
  for (const series of shownSeries) {
    let chosen = chosenOf.get(series);
    if (marks.includes(series)) {
      const most = series.shape === "points" ? POINTS_AT_ONCE : BARS_AT_ONCE;
      seen += chosen.length;
      chosen = thinnedMarks(series, chosen, Math.max(50, Math.floor(most * chosen.length / Math.max(1, markTotal))));
      drawn += chosen.length;
    } else if (series.shape !== "heat") {
      chosen = thinnedCurve(series, chosen);
    }
    for (const index of chosen) {
      const value = series.y[index];
      const other = series.shape === "band" ? series.end[index] : series.shape === "heat" ? value * series.cell[1] : value;
      if (Math.min(value, other) < low) low = Math.min(value, other);
      if (Math.max(value, other) > high) high = Math.max(value, other);
      if (series.x[index] < left) left = series.x[index];
      if (series.x[index] > right) right = series.x[index];
    }
    const made = DRAW[series.shape](series, chosen);
    const tasks = taskColumn(series);
    for (const trace of made) {
      if (tasks) trace.customdata = series.shape === "spans" ? chosen.flatMap((index) => Array(3).fill(tasks.column[index])) : picked(tasks.column, chosen);
      trace.name = series.name;
      trace.legendgroup = series.name;
      if (series.hover.length && series.shape !== "heat") {
        if (!trace.hovertext) trace.hovertext = chosen.map((index) => told(series.hover, index));
        trace.hoverinfo = "text";
      } else if (!trace.hovertemplate) {
        trace.hovertemplate = `${escaped(series.name)}<br>%{x:.6~g} ${figure.spec.x.unit}, %{y:.4~g} ${figure.spec.y.unit}<extra></extra>`;
      }
    }
    all.push(...made);
  }
  const status = figure.element.parentElement.querySelector(".drawn");
  status.textContent = drawn < seen
    ? `${drawn.toLocaleString("en")} of ${seen.toLocaleString("en")} marks in view are drawn, the longest always; zoom in for all.` : "";
  const legends = all.length;
  all.push(...highlighted(figure));
  return { all, low, high, left, right, legends };
}

function axis(spec, low, high) {
  const made = {
    title: { text: spec.unit ? `${spec.title} (${spec.unit})` : spec.title, font: { size: 12 }, standoff: 8 },
    type: spec.kind === "log" ? "log" : "linear", color: color("ink-soft"), gridcolor: color("grid"),
    zeroline: false, linecolor: color("line"), automargin: true, tickfont: { size: 11.5 }, exponentformat: "none", separatethousands: true,
  };
  if (spec.kind === "log") {
    const decades = Math.log10(high / low);
    made.tickformat = "~g";
    made.dtick = decades < 1.2 ? "D1" : decades < 2.5 ? "D2" : 1;
  }
  if (spec.ticks.length) {
    made.tickvals = spec.ticks.map((tick) => tick[0]);
    made.ticktext = spec.ticks.map((tick) => escaped(tick[1]));
    made.showgrid = spec.kind !== "lanes";
    if (spec.kind === "lanes") made.title.text = "";
  }
  if (spec.range) made.range = spec.range.slice();
  return made;
}
function heightRange(figure, low, high) {
  if (!(high >= low)) return null;
  if (figure.spec.y.kind === "log") return [Math.log10(low) - 0.1, Math.log10(high) + 0.1];
  const pad = Math.max((high - low) * 0.05, Math.abs(high) * 0.002, 0.5 * (high === low));
  return [low >= 0 && low < high / 2 ? Math.min(0, low) - (low > 0 ? 0 : pad * 0.4) : low - pad, high + pad];
}
const isNarrow = () => window.innerWidth < 640;
const isTouch = window.matchMedia("(pointer: coarse)");

function load(figure) {
  if (figure.series) return;
  figure.series = figure.spec.series.map((one) => {
    const hover = one.hover.map((told) => ({ ...told, column: unpack(told.values) }));
    const rank = one.rank && one.rank.hover !== undefined ? hover[one.rank.hover].column : unpack(one.rank);
    return { ...one, figure, hover, rank, x: unpack(one.x), y: unpack(one.y), end: unpack(one.end) };
  });
}
function draw(figure) {
  if (!isPlotlyAwake()) { waitForPlotly(figure); return; }
  load(figure);
  const { study, spec } = figure;
  const { all, low, high, left, right, legends } = traces(figure);
  const x = axis(spec.x, left, right), y = axis(spec.y, low, high);
  if (figure.isOnTime && study.view) x.range = study.view.slice();
  if (spec.x.kind === "linear") x.rangemode = "tozero";
  y.fixedrange = figure.isOnTime;
  if (figure.isOnTime && !spec.y.range) { const range = heightRange(figure, low, high); if (range) y.range = range; }
  if (isNarrow() && spec.y.kind !== "lanes") y.title.font.size = 11;
  const layout = {
    height: spec.height + figure.grown, margin: { l: isNarrow() ? 46 : 64, r: 14, t: 8, b: 44 }, autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", barmode: "overlay", hovermode: "closest",
    dragmode: isTouch.matches ? false : "zoom", showlegend: legends > 1 || all.length > legends, shapes: bands(figure), annotations: handles(figure),
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: color("ink") },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 }, itemsizing: "constant" },
    hoverlabel: { bgcolor: color("panel"), bordercolor: color("line"), font: { color: color("ink"), size: 12 }, align: "left" },
    xaxis: x, yaxis: y,
  };
  const config = {
    displaylogo: false, responsive: true, doubleClick: figure.isOnTime ? false : "reset+autosize",
    displayModeBar: isNarrow() ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg", filename: figure.name },
  };
  Plotly.react(figure.element, all, layout, config);
  makeRoom(figure);
  if (!figure.isDrawn) {
    figure.isDrawn = true;
    figure.element.style.minHeight = "";
    figure.element.on("plotly_click", (event) => {
      const task = event.points[0].customdata;
      if (Number.isInteger(task) && task >= 0) selectTask(study, task);
    });
    watchHandles(figure);
    if (figure.isOnTime) {
      figure.element.on("plotly_relayout", (change) => moved(study, change));
      figure.element.on("plotly_doubleclick", () => setView(study, null));
    }
  }
  figure.isStale = false;
}
/* A legend of many rows makes the plot taller instead of the curves lower. Plotly gives a legend a share of
   the height at most, so it may show more rows in a taller plot: a few rounds settle it. */
const BESIDE_THE_CURVES = 84;
const ROUNDS = 4;
function makeRoom(figure) {
  for (let round = 0; round < ROUNDS; round++) {
    const missing = figure.spec.height - BESIDE_THE_CURVES - figure.element._fullLayout._size.h;
    const grown = Math.max(0, Math.round(figure.grown + missing));
    if (Math.abs(grown - figure.grown) <= 6) return;
    figure.grown = grown;
    Plotly.relayout(figure.element, { height: figure.spec.height + grown });
  }
}
function waitForPlotly(figure) {
  const status = figure.element.parentElement.querySelector(".drawn");
  if (plotlyArrives) plotlyArrives.then(() => refresh(figure.study));
  else status.textContent = "This browser cannot unpack the plots; one from 2023 or later can.";
}
function refresh(study) {
  for (const figure of study.figures) if (figure.isStale && figure.isNear) draw(figure);
}
function redrawAll() {
  for (const study of studies) {
    for (const figure of study.figures) figure.isStale = true;
    refresh(study);
  }
}
