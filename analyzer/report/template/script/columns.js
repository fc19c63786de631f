/* Columns as they are packed in the page, and values as people read them. */
const TYPES = { u1: Uint8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
function unpack(packed) {
  if (!packed) return null;
  if (packed.b === undefined) return new Float64Array(packed.n).fill(packed.c === undefined ? 0 : packed.c);
  const bytes = Uint8Array.from(atob(packed.b), (character) => character.charCodeAt(0));
  return new TYPES[packed.t](bytes.buffer);
}
function picked(column, chosen) { return chosen.map((index) => column[index]); }

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
