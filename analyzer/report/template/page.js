"use strict";
/* Draws the figures from their packed columns and keeps all plots over time on one window.
   What is too much to draw at once is thinned for the window in view: bars and points by rank,
   curves to the extremes of each pixel column. The page's numbers are computed before, not here. */
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const BARS_AT_ONCE = 2500;
  const POINTS_AT_ONCE = 5000;
  const CURVE_COLUMNS = 1200;
  const TYPES = { u1: Uint8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

  /* --- columns ------------------------------------------------------------------------------ */
  function unpack(packed) {
    if (!packed) return null;
    if (packed.b === undefined) return new Float64Array(packed.n).fill(packed.c === undefined ? 0 : packed.c);
    const bytes = Uint8Array.from(atob(packed.b), (character) => character.charCodeAt(0));
    return new TYPES[packed.t](bytes.buffer);
  }

  /* --- numbers as people read them ---------------------------------------------------------- */
  const SCALES = {
    ns: [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]],
    bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
  };
  function words(value, unit) {
    if (!Number.isFinite(value)) return "–";
    const scale = SCALES[unit];
    if (!scale) return value.toLocaleString("en", { maximumFractionDigits: 3 }) + (unit ? " " + unit : "");
    const [factor, name] = scale.find(([least]) => Math.abs(value) >= least) || scale[scale.length - 1];
    return Number((value / factor).toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 }) + " " + name;
  }
  function escaped(text) {
    return String(text).replace(/[&<>"']/g, (mark) => "&#" + mark.charCodeAt(0) + ";");
  }
  function told(hovers, index) {
    const lines = [];
    for (const hover of hovers) {
      const value = hover.column[index];
      if (!hover.names.length && (Number.isNaN(value) || (hover.unit === "ns" && value === 0))) continue;
      const text = hover.names.length ? escaped(hover.names[value]) : words(value, hover.unit);
      lines.push(hover.label ? hover.label + " " + text : "<b>" + text + "</b>");
    }
    return lines.join("<br>");
  }

  /* --- theme -------------------------------------------------------------------------------- */
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  let isPrinting = false;
  function isDark() {
    if (isPrinting) return false;
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : prefersDark.matches;
  }
  function color(role) { return data.palette[role][isDark() ? 1 : 0]; }
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

  /* --- what is drawn of a series in a window --------------------------------------------------- */
  function inWindow(series, view) {
    const { x, end, shape } = series;
    const total = x.length;
    const isCurve = shape === "line" || shape === "steps" || shape === "band";
    const chosen = [];
    if (!view) { for (let i = 0; i < total; i++) chosen.push(i); return chosen; }
    if (isCurve) {
      let first = 0, last = total - 1;
      while (first + 1 < total && x[first + 1] <= view[0]) first++;
      while (last - 1 >= 0 && x[last - 1] >= view[1]) last--;
      for (let i = first; i <= last; i++) chosen.push(i);
      return chosen;
    }
    for (let i = 0; i < total; i++) if ((end ? end[i] : x[i]) >= view[0] && x[i] <= view[1]) chosen.push(i);
    return chosen;
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

  /* --- figures ------------------------------------------------------------------------------ */
  const figures = new Map();
  for (const element of document.querySelectorAll("[data-figure]")) {
    const spec = data.figures[element.dataset.figure];
    figures.set(element, { element, spec, series: null, isDrawn: false, isStale: true, isNear: false, isOnTime: spec.x.kind === "capture-time" });
  }
  const onTime = [...figures.values()].filter((figure) => figure.isOnTime);
  const whole = onTime.length ? onTime[0].spec.x.range : null;
  let view = null;

  function load(figure) {
    if (figure.series) return;
    figure.series = figure.spec.series.map((one) => ({
      ...one, x: unpack(one.x), y: unpack(one.y), end: unpack(one.end), rank: unpack(one.rank),
      hover: one.hover.map((hover) => ({ ...hover, column: unpack(hover.values) })),
    }));
  }
  function picked(column, chosen) { return chosen.map((index) => column[index]); }

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

  function traces(figure) {
    const all = [];
    let low = Infinity, high = -Infinity, left = Infinity, right = -Infinity, seen = 0, drawn = 0;
    const marks = figure.series.filter((one) => one.shape === "bars" || one.shape === "points" || one.shape === "spans");
    const window = figure.isOnTime ? view : null;
    const chosenOf = new Map(figure.series.map((one) => [one, inWindow(one, window)]));
    const markTotal = marks.reduce((sum, one) => sum + chosenOf.get(one).length, 0);
    for (const series of figure.series) {
      let chosen = chosenOf.get(series);
      if (marks.includes(series)) {
        const most = series.shape === "points" ? POINTS_AT_ONCE : BARS_AT_ONCE;
        seen += chosen.length;
        chosen = thinnedMarks(series, chosen, Math.max(50, Math.floor(most * chosen.length / Math.max(1, markTotal))));
        drawn += chosen.length;
      } else {
        chosen = thinnedCurve(series, chosen);
      }
      for (const index of chosen) {
        const value = series.y[index], other = series.shape === "band" ? series.end[index] : value;
        if (Math.min(value, other) < low) low = Math.min(value, other);
        if (Math.max(value, other) > high) high = Math.max(value, other);
        if (series.x[index] < left) left = series.x[index];
        if (series.x[index] > right) right = series.x[index];
      }
      const made = DRAW[series.shape](series, chosen);
      for (const trace of made) {
        trace.name = series.name;
        trace.legendgroup = series.name;
        if (series.hover.length) {
          if (!trace.hovertext) trace.hovertext = chosen.map((index) => told(series.hover, index));
          trace.hoverinfo = "text";
        } else {
          trace.hovertemplate = `${escaped(series.name)}<br>%{x:.6~g} ${figure.spec.x.unit}, %{y:.4~g} ${figure.spec.y.unit}<extra></extra>`;
        }
      }
      all.push(...made);
    }
    const status = figure.element.parentElement.querySelector(".drawn");
    status.textContent = drawn < seen
      ? `${drawn.toLocaleString("en")} of ${seen.toLocaleString("en")} marks in view are drawn, the longest always; zoom in for all.` : "";
    return { all, low, high, left, right };
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

  function draw(figure) {
    load(figure);
    const { all, low, high, left, right } = traces(figure);
    const x = axis(figure.spec.x, left, right), y = axis(figure.spec.y, low, high);
    if (figure.isOnTime && view) x.range = view.slice();
    y.fixedrange = figure.isOnTime;
    if (figure.isOnTime && !figure.spec.y.range) { const range = heightRange(figure, low, high); if (range) y.range = range; }
    if (isNarrow() && figure.spec.y.kind !== "lanes") y.title.font.size = 11;
    const layout = {
      height: figure.spec.height, margin: { l: isNarrow() ? 46 : 64, r: 14, t: 8, b: 44 }, autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", barmode: "overlay", hovermode: "closest",
      dragmode: isTouch.matches ? false : "zoom", showlegend: all.length > 1,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: color("ink") },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 }, itemsizing: "constant" },
      hoverlabel: { bgcolor: color("panel"), bordercolor: color("line"), font: { color: color("ink"), size: 12 }, align: "left" },
      xaxis: x, yaxis: y,
    };
    const config = {
      displaylogo: false, responsive: true, doubleClick: figure.isOnTime ? false : "reset+autosize",
      displayModeBar: isNarrow() ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetScale2d", "zoomIn2d", "zoomOut2d"],
      toImageButtonOptions: { format: "svg", filename: figure.element.dataset.figure },
    };
    Plotly.react(figure.element, all, layout, config);
    if (!figure.isDrawn) {
      figure.isDrawn = true;
      figure.element.style.minHeight = "";
      if (figure.isOnTime) {
        figure.element.on("plotly_relayout", (change) => moved(change));
        figure.element.on("plotly_doubleclick", () => setView(null));
      }
    }
    figure.isStale = false;
  }
  function refresh() {
    for (const figure of figures.values()) if (figure.isStale && figure.isNear) draw(figure);
  }
  function redrawAll() {
    for (const figure of figures.values()) figure.isStale = true;
    refresh();
  }

  /* --- one window for all plots over time ------------------------------------------------------ */
  function moved(change) {
    if (change["xaxis.autorange"]) return setView(null);
    const range = change["xaxis.range"] || (change["xaxis.range[0]"] !== undefined ? [change["xaxis.range[0]"], change["xaxis.range[1]"]] : null);
    if (range) setView(range.map(Number));
  }
  function setView(wanted) {
    if (wanted) {
      let [from, to] = wanted;
      const least = 1e-7;
      if (!(to - from >= least)) { const middle = (from + to) / 2; from = middle - least / 2; to = middle + least / 2; }
      from = Math.max(from, whole[0]);
      to = Math.min(to, whole[1]);
      view = to - from >= (whole[1] - whole[0]) * 0.999 || !(to > from) ? null : [from, to];
    } else {
      view = null;
    }
    showView();
    for (const figure of onTime) figure.isStale = true;
    refresh();
  }
  const bar = document.getElementById("window");
  function showView() {
    const [from, to] = view || whole;
    const digits = Math.min(9, Math.max(1, Math.ceil(2 - Math.log10(to - from))));
    document.getElementById("window-text").textContent = view
      ? `${from.toFixed(digits)} – ${to.toFixed(digits)} s` : "Whole capture";
    for (const button of bar.querySelectorAll("button")) {
      button.disabled = !view && button.dataset.move !== "closer";
    }
    const mark = view ? `#view=${from.toFixed(9)},${to.toFixed(9)}` : "#";
    if (view || location.hash.startsWith("#view=")) {
      try { history.replaceState(null, "", mark); } catch { /* some viewers forbid it */ }
    }
  }
  const MOVES = {
    earlier: (from, to) => [from - (to - from) / 2, to - (to - from) / 2],
    later: (from, to) => [from + (to - from) / 2, to + (to - from) / 2],
    closer: (from, to) => [from + (to - from) / 4, to - (to - from) / 4],
    wider: (from, to) => [from - (to - from) / 2, to + (to - from) / 2],
  };
  function kept(from, to) {
    const shift = Math.max(0, whole[0] - from) - Math.max(0, to - whole[1]);
    return [from + shift, to + shift];
  }
  if (onTime.length) {
    bar.addEventListener("click", (event) => {
      const move = event.target.dataset.move;
      if (move === "all") setView(null);
      else if (move) setView(kept(...MOVES[move](...(view || whole))));
    });
    const linked = /^#view=(-?[\d.]+),(-?[\d.]+)$/.exec(location.hash);
    if (linked) setView([Number(linked[1]), Number(linked[2])]);
    else showView();
  }

  /* --- drawn when they come near ------------------------------------------------------------- */
  if (figures.size) {
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) figures.get(entry.target).isNear = entry.isIntersecting;
      refresh();
    }, { rootMargin: "600px 0px" });
    for (const element of figures.keys()) near.observe(element);
  }
  if (onTime.length) {
    const shown = new Set();
    const inSight = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.isIntersecting ? shown.add(entry.target) : shown.delete(entry.target);
      bar.hidden = shown.size === 0;
    }, { rootMargin: "-30% 0px -30% 0px" });
    for (const figure of onTime) inSight.observe(figure.element);
  }
  window.addEventListener("beforeprint", () => {
    isPrinting = true;
    for (const figure of figures.values()) draw(figure);
  });
  window.addEventListener("afterprint", () => { isPrinting = false; redrawAll(); });

  /* --- tables: sort by a click on a heading, search ---------------------------------------------- */
  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent;
  }
  function order(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b, "en", { numeric: true });
  }
  for (const sheet of document.querySelectorAll(".sheet")) {
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
        const rows = [...body.rows].map((row) => [key(row, heading.cellIndex), row]);
        rows.sort((a, b) => (isRising ? order(a[0], b[0]) : order(b[0], a[0])));
        body.append(...rows.map((pair) => pair[1]));
      });
    }
    const search = sheet.querySelector("input[type=search]");
    if (search) {
      search.hidden = false;
      search.addEventListener("input", () => {
        const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of body.rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !wanted.every((word) => text.includes(word));
        }
      });
    }
  }

  /* --- where the reader is --------------------------------------------------------------------- */
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const here = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) here.observe(section);
})();
