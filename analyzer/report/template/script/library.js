/* Plotly is large: it is deflated in the page, inflated beside the reading of the page, and run when
   the first plot is drawn. Without it the sentences and tables stand alone. */
const packedPlotly = document.getElementById("plotly");
let plotlyText = null;
async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
const plotlyArrives = packedPlotly && window.DecompressionStream
  ? inflated(packedPlotly.textContent).then((text) => { plotlyText = text; packedPlotly.remove(); }) : null;
function isPlotlyAwake() {
  if (window.Plotly) return true;
  if (!plotlyText) return false;
  const script = document.createElement("script");
  script.textContent = plotlyText;
  document.head.append(script);
  plotlyText = null;
  return true;
}
