/* The page of `terramosaic serve`: asks the server for runs, draws them with OpenLayers, and changes nothing. */
"use strict";

const $ = (id) => document.getElementById(id);
const GROUPS = { map: "Maps", imagery: "Imagery", trust: "How far to trust them" };
const DASHED = [6, 6];

const state = { runs: [], run: null, layer: null, compare: null, opacity: 100, swipe: 50, pointer: null };

/** An element with text in it; text of items and plans is never read as markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** What the server answers, as JSON; an error has its line. */
async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error || `the server answered ${response.status}`);
  return told;
}

let failing;
function fail(text) {
  $("failed").textContent = text;
  $("failed").hidden = !text;
  clearTimeout(failing);
  if (text) failing = setTimeout(() => { $("failed").hidden = true; }, 12000);
}

const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- the map

const outlines = new ol.source.Vector();
const outlineLayer = new ol.layer.Vector({ source: outlines, zIndex: 10, style: outlineStyle });
// Under the maps: many runs may lie over each other, and none may tint what is looked at.
const shadeLayer = new ol.layer.Vector({
  source: outlines, zIndex: 0, style: new ol.style.Style({ fill: new ol.style.Fill({ color: "rgba(23,105,106,.08)" }) }),
});
const graticule = new ol.layer.Graticule({
  zIndex: 0, wrapX: false, strokeStyle: new ol.style.Stroke({ color: "rgba(110,125,130,.35)", width: 1 }),
});
// What its lines are called stands over the maps, which would cut it.
const labels = new ol.layer.Graticule({
  zIndex: 9, showLabels: true, wrapX: false, strokeStyle: new ol.style.Stroke({ color: "transparent", width: 1 }),
  // Beside the zoom's buttons: at the other side the legend would cut them.
  latLabelPosition: 0,
  latLabelStyle: new ol.style.Text({
    font: "12px sans-serif", textAlign: "left", textBaseline: "bottom", offsetX: 42, offsetY: -1,
    fill: new ol.style.Fill({ color: "#000" }), stroke: new ol.style.Stroke({ color: "#fff", width: 3 }),
  }),
});
// Where the values that stay were asked for.
const pin = new ol.Feature();
const pinLayer = new ol.layer.Vector({
  source: new ol.source.Vector({ features: [pin] }), zIndex: 11,
  style: [["#fff", 5], ["#1c2428", 2]].map(([color, width]) => new ol.style.Style({
    image: new ol.style.Circle({ radius: 7, stroke: new ol.style.Stroke({ color, width }) }),
  })),
});
const map = new ol.Map({
  target: "map",
  layers: [shadeLayer, graticule, labels, outlineLayer, pinLayer],
  controls: [new ol.control.Zoom(), new ol.control.ScaleLine()],
  // By itself it heeds the mouse only once it has the focus, where its element can have it.
  interactions: ol.interaction.defaults.defaults({ onFocusOnly: false }),
  view: new ol.View({ center: [0, 0], zoom: 2, maxZoom: 20 }),
});
const shown = { main: null, other: null };

function outlineStyle(feature) {
  const chosen = state.run && feature.get("run") === state.run.name;
  return new ol.style.Style({
    stroke: new ol.style.Stroke({
      color: style("--accent"), width: chosen ? 2 : 1.5, lineDash: chosen ? undefined : DASHED,
    }),
  });
}

/** Where a run lies, in one piece: what crosses the antimeridian comes in two, of which the western one is moved. */
function geometryOf(run) {
  const read = new ol.format.GeoJSON().readGeometry(run.geometry);
  const [west, , east] = run.bbox;
  if (west > east) {
    read.applyTransform((from, to, stride) => {
      for (let at = 0; at < from.length; at += stride) {
        to[at] = from[at] < 0 ? from[at] + 360 : from[at];
        for (let more = 1; more < stride; more++) to[at + more] = from[at + more];
      }
      return to;
    });
  }
  return read.transform("EPSG:4326", "EPSG:3857");
}

/** The runs that lie at a coordinate, whichever of the world's copies it is in. */
function runsAt([x, y]) {
  const world = ol.extent.getWidth(ol.proj.get("EPSG:3857").getExtent());
  const within = x - Math.floor((x + world / 2) / world) * world;
  // What crosses the antimeridian goes on to the east of it.
  return [within, within + world].flatMap((each) => outlines.getFeaturesAtCoordinate([each, y])).map((one) => one.get("run"));
}

function drawOutlines() {
  outlines.clear();
  for (const run of state.runs) {
    try {
      outlines.addFeature(new ol.Feature({ geometry: geometryOf(run), run: run.name }));
    } catch {
      // An item may have an outline that is none; it is in the list all the same.
    }
  }
}

function fit(run) {
  const feature = outlines.getFeatures().find((one) => one.get("run") === run.name);
  const extent = feature ? feature.getGeometry().getExtent() : outlines.getExtent();
  if (extent && isFinite(extent[0])) map.getView().fit(extent, { padding: [40, 40, 40, 40], maxZoom: 16 });
}

function tileLayer(layer) {
  const source = new ol.source.XYZ({
    url: `${layer.tiles}?v=${layer.version || ""}`, maxZoom: layer.deepest, interpolate: false,
    transition: 0, wrapX: true,
  });
  source.on("tileloaderror", () => told(layer));
  return new ol.layer.Tile({ source, zIndex: 1 });
}

/** A tile did not come: the server says why when it is asked for the legend. */
async function told(layer) {
  if (layer.asked) return;
  layer.asked = true;
  try {
    const legend = await ask(`legends/${encoded(state.run.name)}/${encodeURIComponent(layer.name)}.json`);
    fail(legend.error || `${layer.title}: tiles did not come; is the server still there?`);
  } catch (error) {
    fail(`${layer.title}: ${error.message}`);
  }
}

// ---- runs

async function loadRuns() {
  try {
    const told = await ask("runs.json");
    state.runs = told.runs;
    $("problems").replaceChildren(
      ...told.problems.map((one) => element("li", {}, `${one.name}: ${one.reason}`)),
    );
    drawOutlines();
    listRuns();
    await followAddress();
  } catch (error) {
    $("runs-note").textContent = error.message;
  }
}

function period(run) {
  return run.first_day === run.last_day ? run.first_day : `${run.first_day} to ${run.last_day}`;
}

function place(run) {
  if (!run.bbox) return "";
  const [west, south, east, north] = run.bbox;
  let lon = (west + east + (west > east ? 360 : 0)) / 2;
  if (lon > 180) lon -= 360;
  const lat = (south + north) / 2;
  const side = (value, sides) => `${Math.abs(value).toFixed(2)}°\u202f${sides[value < 0 ? 1 : 0]}`;
  // No line breaks within: a place is read in one piece.
  return `${side(lat, "NS")},\u00a0${side(lon, "EW")}`;
}

function listRuns() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = state.runs.filter((run) => {
    const text = [run.name, period(run), place(run).replaceAll(/\s/g, " "), run.model, run.targets.join(" ")]
      .join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  $("find-label").hidden = state.runs.length < 6;
  $("runs").replaceChildren(...found.map((run) => element(
    "li", {},
    element(
      "button",
      {
        type: "button", "data-run": run.name, "aria-pressed": String(state.run?.name === run.name),
        onclick: () => choose(run.name, true),
      },
      element("b", {}, period(run)),
      element("small", {}, `${place(run)} · ${run.mapped_km2.toLocaleString("en").replaceAll(",", "\u202f")}\u00a0km²`),
      element("small", {}, run.targets.join(", ")),
      element("small", {}, run.model),
      run.is_newest ? element("small", {}, "the last clear acquisition of each pixel") : null,
      run.is_replaced ? element("small", {}, "replaced by a later run") : null,
      element("small", {}, run.name),
    ),
  )));
  const all = state.runs.length;
  $("runs-note").textContent = !all
    ? "No run is finished here yet. What finishes appears when this page is loaded again."
    : found.length < all ? `${found.length} of ${all} runs` : all > 1 ? `${all} runs` : "";
}

let choosing = 0;
/** Shows a run: whole, where it `moves` there; with the layers that are wanted, by default those shown before. */
async function choose(name, moves, wanted = {}) {
  const turn = ++choosing;
  fail("");
  let run;
  try {
    run = await ask(`runs/${encoded(name)}.json`);
  } catch (error) {
    if (turn === choosing) fail(error.message);
    return;
  }
  if (turn !== choosing) return;
  const before = wanted.layer || state.layer?.name;
  const other = wanted.run ? wanted.compare : state.compare?.name;
  state.run = run;
  state.layer = run.layers.find((one) => one.name === before && !one.error)
    || run.layers.find((one) => !one.error) || run.layers[0];
  state.compare = run.layers.find((one) => one.name === other) || null;
  listRuns();
  outlineLayer.changed();
  if (moves) fit(run);
  else if (wanted.map) {
    map.getView().setCenter(wanted.map.center);
    map.getView().setZoom(wanted.map.zoom);
  }
  listLayers();
  listFiles();
  unpin();
  await show();
}

// ---- layers

function listLayers() {
  $("layers-section").hidden = false;
  $("warnings").replaceChildren(...state.run.warnings.map((line) => element("p", { class: "warning" }, line)));
  $("layers").replaceChildren(...Object.entries(GROUPS).map(([group, title]) => {
    const layers = state.run.layers.filter((layer) => layer.group === group);
    return layers.length ? element(
      "fieldset", {}, element("legend", {}, title),
      ...layers.map((layer) => element(
        "label", {},
        element("input", {
          type: "radio", name: "layer", value: layer.name, checked: layer === state.layer,
          onchange: () => { state.layer = layer; show(); },
        }),
        element("span", {}, layer.title, layer.error ? element("small", {}, layer.error) : null),
      )),
    ) : "";
  }));
  $("compare").replaceChildren(
    element("option", { value: "" }, "nothing"),
    ...state.run.layers.filter((layer) => !layer.error).map((layer) => element(
      "option", { value: layer.name, selected: layer === state.compare }, layer.title,
    )),
  );
}

function listFiles() {
  $("files-section").hidden = false;
  $("report").href = state.run.report;
  const size = (bytes) => bytes == null ? "" : bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB`
    : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
  $("downloads").replaceChildren(...state.run.downloads.filter((one) => one.name !== "report").map((one) => element(
    "li", {},
    element("a", { href: one.href, download: one.href.split("/").pop(), title: one.title }, one.href.split("/").pop()),
    element("small", {}, size(one.bytes)),
  )));
}

/** The legend of a layer in a store comes when it is shown: its mosaics are fetched for it. */
async function withLegend(layer) {
  if (!layer.waits) return;
  legendWaits(layer);
  try {
    Object.assign(layer, await ask(`legends/${encoded(state.run.name)}/${encodeURIComponent(layer.name)}.json`));
  } catch (error) {
    layer.error = error.message;
  }
  delete layer.waits;
}

let showing = 0;
async function show() {
  const turn = ++showing;
  const { layer, compare } = state;
  if (!layer) return;
  await withLegend(layer);
  if (compare) await withLegend(compare);
  if (turn !== showing) return;
  if (layer.error) fail(`${layer.title}: ${layer.error}`);
  for (const key of ["main", "other"]) if (shown[key]) map.removeLayer(shown[key]);
  shown.main = layer.error ? null : tileLayer(layer);
  shown.other = compare && !compare.error ? tileLayer(compare) : null;
  if (shown.other) {
    clip(shown.main, true);
    clip(shown.other, false);
  }
  for (const one of [shown.main, shown.other]) if (one) map.addLayer(one);
  setOpacity();
  setSwipe();
  legendOf(layer);
  remember();
}

/** Shows of a layer what lies left of the divider, or right of it. */
function clip(layer, left) {
  if (!layer) return;
  layer.on("prerender", (event) => {
    const context = event.context;
    const [width, height] = map.getSize();
    const at = width * state.swipe / 100;
    const corners = (left ? [[0, 0], [at, 0], [at, height], [0, height]]
      : [[at, 0], [width, 0], [width, height], [at, height]]).map((one) => ol.render.getRenderPixel(event, one));
    context.save();
    context.beginPath();
    corners.forEach(([x, y], index) => index ? context.lineTo(x, y) : context.moveTo(x, y));
    context.closePath();
    context.clip();
  });
  layer.on("postrender", (event) => event.context.restore());
}

function setOpacity() {
  $("opacity-shown").textContent = `${state.opacity} %`;
  if (shown.main) shown.main.setOpacity(state.opacity / 100);
}

function setSwipe() {
  $("swipe-box").hidden = $("divider").hidden = !shown.other;
  $("swipe-shown").textContent = `${state.swipe} %`;
  $("divider").style.left = `${state.swipe}%`;
  if (shown.other) {
    $("left-name").textContent = state.layer.title;
    $("right-name").textContent = state.compare.title;
  }
  map.render();
}

function legendWaits(layer) {
  $("legend").hidden = false;
  $("legend-title").textContent = layer.title;
  $("legend-body").replaceChildren(element("p", {}, "being fetched from the store …"));
}

function legendOf(layer) {
  const parts = [];
  $("legend-title").textContent = layer.title + (layer.unit && layer.unit !== "d" ? ` (${layer.unit})` : "");
  for (const ramp of layer.ramps || []) {
    const bar = element("canvas", { width: 256, height: 1, role: "img", "aria-label": `${ramp.ticks[0]} to ${ramp.ticks.at(-1)}` });
    const context = bar.getContext("2d");
    const gradient = context.createLinearGradient(0, 0, 256, 0);
    ramp.colours.forEach((colour, index) => gradient.addColorStop(index / (ramp.colours.length - 1), colour));
    context.fillStyle = gradient;
    context.fillRect(0, 0, 256, 1);
    parts.push(element(
      "div", { class: "ramp" },
      layer.ramps.length > 1 ? element("span", {}, ramp.label) : null,
      bar, element("div", {}, ...ramp.ticks.map((tick) => element("span", {}, tick))),
    ));
  }
  if (layer.swatches?.length) {
    parts.push(element("ul", {}, ...layer.swatches.map((one) => {
      const square = element("span", { class: "swatch" });
      square.style.background = one.colour;
      return element("li", {}, square, element("span", {}, one.label.split(":")[0]));
    })));
  }
  if (layer.caption) parts.push(element("p", {}, layer.caption));
  if (layer.error) parts.push(element("p", {}, layer.error));
  $("legend-body").replaceChildren(...parts);
  $("legend").hidden = false;
}

// ---- values

let asking, waiting;
/** Tells what lies at a coordinate: of the layers that are shown while the pointer moves, of all when it is clicked. */
async function valuesAt(coordinate, all) {
  if (!state.run || !state.layer) return;
  const [lon, lat] = ol.proj.toLonLat(coordinate);
  asking?.abort();
  asking = new AbortController();
  const query = new URLSearchParams({ lon: lon.toFixed(7), lat: lat.toFixed(7) });
  if (!all) for (const one of [state.layer, state.compare]) if (one && !one.error) query.append("layer", one.name);
  if (!all && !query.has("layer")) return;
  try {
    const told = await ask(`point/${encoded(state.run.name)}?${query}`, { signal: asking.signal });
    const titles = Object.fromEntries(state.run.layers.map((layer) => [layer.name, layer.title]));
    const where = `${Math.abs(told.lat).toFixed(5)}° ${told.lat < 0 ? "S" : "N"}, ${Math.abs(told.lon).toFixed(5)}° ${told.lon < 0 ? "W" : "E"}`;
    $("values-body").replaceChildren(
      element("h3", {}, where),
      element("dl", {}, ...told.layers.flatMap((one) => [
        element("dt", {}, titles[one.layer] || one.layer),
        element("dd", { "data-layer": one.layer }, one.error || one.text),
      ])),
    );
    $("values").hidden = false;
    if (all) uncover(coordinate);
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  }
}

/** Moves the map up where the values, which are as wide as a phone, lie over the place that they are of. */
function uncover(coordinate) {
  const card = $("values").getBoundingClientRect();
  const box = $("map").getBoundingClientRect();
  const [, y] = map.getPixelFromCoordinate(coordinate);
  const hidden = box.top + y + 24 - card.top;
  if (hidden <= 0 || card.width < 0.9 * box.width) return;
  map.getView().setCenter(map.getCoordinateFromPixel([box.width / 2, box.height / 2 + hidden]));
}

/** Tells what all layers hold at a coordinate, which stays until another place is asked for or it is closed. */
function pinAt(coordinate) {
  clearTimeout(waiting);
  pin.setGeometry(new ol.geom.Point(coordinate));
  return valuesAt(coordinate, true);
}

function unpin() {
  asking?.abort();
  pin.setGeometry(undefined);
  $("values").hidden = true;
}

map.on("pointermove", (event) => {
  if (event.dragging || pin.getGeometry()) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => valuesAt(event.coordinate, false), 60);
});
map.on("singleclick", (event) => {
  clearTimeout(waiting);
  const here = runsAt(event.coordinate);
  if (here.length && !here.includes(state.run?.name)) {
    choose(here[0], false);
    return;
  }
  pinAt(event.coordinate);
});
map.on("moveend", remember);
$("map").addEventListener("keydown", (event) => {
  if (event.key === "Enter") pinAt(map.getView().getCenter());
});

// ---- the address remembers what is seen

function remember() {
  if (!state.run || !state.layer) return;
  const hash = new URLSearchParams({ run: state.run.name, layer: state.layer.name });
  if (state.compare) hash.set("compare", state.compare.name);
  const view = map.getView();
  const [lon, lat] = ol.proj.toLonLat(view.getCenter());
  const at = [view.getZoom().toFixed(2), lat.toFixed(5), lon.toFixed(5)].join("/");
  history.replaceState(null, "", `#${hash}&map=${at}`);
}

/** What an address asks for; `map` is zoom/latitude/longitude, and null where it is none. */
function addressed() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const [zoom, lat, lon, ...more] = (hash.get("map") || "").split("/").map((part) => part.trim() === "" ? NaN : Number(part));
  const isPlace = more.length === 0 && [zoom, lat, lon].every(Number.isFinite) && Math.abs(lat) < 86 && Math.abs(lon) <= 360;
  return {
    run: hash.get("run"), layer: hash.get("layer"), compare: hash.get("compare"),
    map: isPlace ? { zoom, center: ol.proj.fromLonLat([lon, lat]) } : null,
  };
}

/** Shows the run, the layers and the place that the address names; of what it does not name the newest, and all. */
async function followAddress() {
  const wanted = addressed();
  const found = state.runs.find((run) => run.name === wanted.run);
  const first = found || state.runs[0];
  if (!first) return;
  await choose(first.name, !(found && wanted.map), wanted);
  if (wanted.run && !found) fail(`This address names the run ${wanted.run}, which is not here; another is shown.`);
  else if (wanted.layer && state.layer && state.layer.name !== wanted.layer) {
    fail(`This address names the layer ${wanted.layer}, which this run cannot show; another is shown.`);
  }
}

// ---- controls

$("find").addEventListener("input", listRuns);
$("opacity").addEventListener("input", (event) => { state.opacity = Number(event.target.value); setOpacity(); });
$("swipe").addEventListener("input", (event) => { state.swipe = Number(event.target.value); setSwipe(); });
$("compare").addEventListener("change", (event) => {
  state.compare = state.run.layers.find((layer) => layer.name === event.target.value) || null;
  show();
});
$("values-close").addEventListener("click", () => { unpin(); $("map").focus(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") unpin(); });
if (matchMedia("(max-width: 700px)").matches) $("legend").open = false;
$("panel-button").addEventListener("click", (event) => {
  const closed = $("panel").classList.toggle("closed");
  event.currentTarget.setAttribute("aria-expanded", String(!closed));
  map.updateSize();
});
new ResizeObserver(() => map.updateSize()).observe($("map"));

/** For tests, and for whoever wants to look from the console. */
window.terramosaic = { map, state, shown, pin };

// Another address in the same tab; what the page writes there itself is no such event.
window.addEventListener("hashchange", followAddress);

loadRuns();
