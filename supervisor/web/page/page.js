// The page asks /api/status every two seconds, and shows what it is told. It changes nothing in the service.
// Text of the service reaches the page only as text (textContent), never as HTML.

const PERIOD_MS = 2000;
const ANSWER_MS = 15000; // a service that does not answer takes `shardwatch web` some seconds
const SEARCH_MS = 600000;
const SAMPLES_MAX = 300; // ten minutes
const RATE_LEVELS = [0, 0.1, 10, 100]; // hints a second above which a shard is one level darker
const samples = [];
let sorting = {}; // table -> [column, direction]
let shownFindings = null; // as JSON: what is the same is left alone, so that it can be selected
let searches = 0;

const byId = (id) => document.getElementById(id);
const number = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en"));
const counted = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
// Whether shards and groups are known: they are not while the aggregator does not answer, or can't use its databases.
const knowsRows = (status) => Boolean(status.engine) && !status.engine.storage;
const rate = (value) => (value === null ? "–" : value < 10 ? value.toFixed(1) : number(Math.round(value)));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
  made.append(...children.map(String));
  return made;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

// Rates --------------------------------------------------------------------------------------------------------------

function take(status) {
  const engine = status.engine;
  const shards = Object.fromEntries((engine?.shards ?? []).map((s) => [s.id, { epoch: s.epoch, hints: s.hints ?? null }]));
  const backlog = status.groups.reduce((sum, group) => sum + group.backlog, 0);
  samples.push({ time: status.time, written: engine?.rows_written ?? null, shards, backlog: knowsRows(status) ? backlog : null });
  if (samples.length > SAMPLES_MAX) samples.shift();
}

function rateBetween(before, after, value) {
  const [a, b, seconds] = [value(before), value(after), after.time - before.time];
  return a === null || b === null || b < a || seconds <= 0 ? null : (b - a) / seconds;
}

// A counter of a shard begins again with each epoch.
function hintsOf(id, before, after) {
  const [a, b] = [before.shards[id], after.shards[id]];
  if (!a || !b || a.epoch !== b.epoch) return null;
  return rateBetween(before, after, (sample) => sample.shards[id].hints);
}

function hintsOfAll(before, after) {
  const rates = Object.keys(after.shards).map((id) => hintsOf(id, before, after)).filter((value) => value !== null);
  return rates.length ? rates.reduce((sum, value) => sum + value, 0) : null;
}

const pairs = () => samples.slice(1).map((after, i) => [samples[i], after]);
const lastPair = () => pairs().at(-1);

function drawChart(id, values, said) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(1, ...known);
  const points = values.map((value, i) => (value === null ? null : `${(i / Math.max(1, values.length - 1)) * 300},${58 - (value / top) * 54}`));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 300 60");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.filter((point) => point !== null).join(" "));
  svg.append(line);
  const now = known.length ? said(values.at(-1)) : "–";
  const most = known.length ? said(Math.max(...known)) : "–";
  byId(id).replaceChildren(svg, element("p", {}, `now ${now}, at most ${most}`));
}

function drawCharts() {
  drawChart("chart-changes", pairs().map(([a, b]) => rateBetween(a, b, (sample) => sample.written)), rate);
  drawChart("chart-hints", pairs().map(([a, b]) => hintsOfAll(a, b)), rate);
  drawChart("chart-backlog", samples.map((sample) => sample.backlog), number);
}

// Tables -------------------------------------------------------------------------------------------------------------

// columns: [header, value of a row, kind, the value as text]; kind: "number", "path", "time", "line" or "". Rows are sorted by the
// value itself, and not by its text.
function drawTable(id, caption, columns, rows, empty = "none") {
  const place = byId(id);
  if (!rows.length) {
    place.replaceChildren(element("p", { class: "hint" }, empty));
    return;
  }
  const [column, direction] = sorting[id] ?? [-1, 1];
  const sorted = column < 0 ? rows : [...rows].sort((a, b) => compare(columns[column][1](a), columns[column][1](b), direction));
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.column : undefined;
  const head = element("tr");
  columns.forEach(([header, , kind], i) => {
    const order = i === column ? (direction > 0 ? "ascending" : "descending") : null;
    const cell = element("th", { scope: "col", class: kind || null, "aria-sort": order });
    const button = element("button", { type: "button", "data-column": i }, header);
    button.addEventListener("click", () => {
      sorting = { ...sorting, [id]: [i, i === column ? -direction : 1] };
      drawTable(id, caption, columns, rows, empty);
      byId(id).querySelector(`[data-column="${i}"]`)?.focus();
    });
    cell.append(button);
    head.append(cell);
  });
  const body = element("tbody");
  for (const row of sorted) {
    const line = element("tr");
    for (const [, value, kind, said] of columns) {
      const found = value(row);
      const text = said ? said(found) : kind === "number" && typeof found === "number" ? number(found) : found ?? "–";
      line.append(element("td", { class: kind || null }, text));
    }
    body.append(line);
  }
  const table = element("table");
  const header = element("thead");
  header.append(head);
  table.append(element("caption", {}, caption), header, body);
  const kept = place.querySelector(":scope > .scroll"); // it stays where it was scrolled to
  const scroll = kept ?? element("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" });
  scroll.replaceChildren(table);
  if (!kept) place.replaceChildren(scroll);
  if (focused !== undefined) place.querySelector(`[data-column="${focused}"]`)?.focus();
}

// What is not known comes last in either direction.
function compare(a, b, direction) {
  const unknown = (value) => value === null || value === undefined;
  if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  return direction * String(a).localeCompare(String(b), "en", { numeric: true });
}

function drawList(id, entries) {
  byId(id).replaceChildren(
    ...entries.map(([term, value]) => {
      const entry = element("div");
      entry.append(element("dt", {}, term), element("dd", {}, value));
      return entry;
    }),
  );
}

// Shards -------------------------------------------------------------------------------------------------------------

// Halves the area again and again between shards of about the same weight, along its longer side.
function areas(shards, box) {
  if (shards.length <= 1) return shards.map((shard) => [shard, box]);
  const total = shards.reduce((sum, shard) => sum + weight(shard), 0);
  let cut = 0;
  let first = 0;
  do first += weight(shards[cut++]); while (cut < shards.length - 1 && first + weight(shards[cut]) / 2 < total / 2);
  const share = first / total;
  const wide = box.width * 2.5 >= box.height; // the picture is wider than high
  const one = wide ? { ...box, width: box.width * share } : { ...box, height: box.height * share };
  const two = wide
    ? { ...box, left: box.left + one.width, width: box.width - one.width }
    : { ...box, top: box.top + one.height, height: box.height - one.height };
  return [...areas(shards.slice(0, cut), one), ...areas(shards.slice(cut), two)];
}

const weight = (shard) => Math.max(1, shard.directories ?? 1);

// The first subtrees of a shard; below the root, if there is only one.
function subtrees(shard, roots) {
  const short = (path) => (roots.length === 1 && path.startsWith(`${roots[0]}/`) ? path.slice(roots[0].length + 1) : path);
  const more = shard.anchors.length - 3;
  return shard.anchors.slice(0, 3).map(short).join(", ") + (more > 0 ? `, and ${more} more` : "");
}

function drawTreemap(shards, hints, roots) {
  const sorted = [...shards].sort((a, b) => weight(b) - weight(a));
  byId("treemap").replaceChildren(
    ...areas(sorted, { left: 0, top: 0, width: 100, height: 100 }).map(([shard, box]) => {
      const found = hints(shard);
      const level = found === null ? 0 : RATE_LEVELS.filter((bound) => found > bound).length;
      const troubled = !["watching", "scanning", "starting"].includes(shard.state) || shard.polled > 0;
      const area = element("div", { role: "listitem", "data-level": level, "data-trouble": troubled ? "" : null });
      for (const side of ["left", "top", "width", "height"]) area.style[side] = `${box[side]}%`;
      area.append(
        element("strong", {}, shard.id),
        ` ${shard.state}, ${rate(found)} hints/s, ${number(shard.directories)} directories: ${subtrees(shard, roots)}`,
      );
      return area;
    }),
  );
}

function drawShards(status) {
  const shards = status.engine?.shards ?? [];
  const pair = lastPair();
  const hints = (shard) => (pair ? hintsOf(shard.id, ...pair) : null);
  const deaths = Object.fromEntries(status.processes.map((p) => [p.name, p.deaths]));
  const roots = status.engine?.roots ?? [];
  drawTreemap(shards, hints, roots);
  drawTable("shard-table", "All shards", [
    ["Shard", (s) => s.id, ""],
    ["State", (s) => s.state, ""],
    ["Backend", (s) => s.backend, ""],
    ["Directories", (s) => s.directories, "number"],
    ["Files", (s) => s.files, "number"],
    ["Watches", (s) => s.watches, "number"],
    ["Polled", (s) => s.polled, "number"],
    ["Hints/s", hints, "number", rate],
    ["To look at", (s) => s.pending, "number"],
    ["Not acknowledged", (s) => s.unacked, "number"],
    ["Overflows", (s) => s.overflows, "number"],
    ["Rescans", (s) => s.rescans, "number"],
    ["Deaths/min", (s) => deaths[`shards:${s.id}`], "number"],
    ["Subtrees", (s) => subtrees(s, roots), "line"],
  ], shards, knowsRows(status) ? "none" : "not known now");
}

// The whole ----------------------------------------------------------------------------------------------------------

function drawFindings(status) {
  const said = JSON.stringify(status.findings);
  if (said === shownFindings) return;
  shownFindings = said;
  const items = status.findings.map((finding) => {
    const item = element("li", { "data-level": finding.level });
    item.append(element("strong", {}, `${finding.level}: `), finding.message);
    if (finding.remedy) item.append(element("span", { class: "remedy" }, `Remedy: ${finding.remedy}`));
    return item;
  });
  byId("finding-list").replaceChildren(...(items.length ? items : [element("li", {}, "nothing")]));
}

function drawNumbers(status) {
  const engine = status.engine;
  const watches = (engine?.shards ?? []).reduce((sum, shard) => sum + (shard.watches ?? 0), 0);
  const limits = status.limits;
  drawList("number-list", [
    ["Files", number(engine?.files)],
    ["Directories", number(engine?.directories)],
    ["Last tick", number(engine?.tick)],
    ["Watches of this service", number(engine ? watches : null)],
    ["Watches of its user", `${number(limits?.watches_used)} of ${number(limits?.watches)}`],
    ["Groups", number(knowsRows(status) ? status.groups.length : null)],
    ["Overflows", number(engine ? engine.shards.reduce((sum, shard) => sum + (shard.overflows ?? 0), 0) : null)],
    ["Findings of the verification", number(engine?.verification?.findings)],
  ]);
}

function drawGroups(status) {
  drawTable("group-table", "All groups", [
    ["Group", (g) => g.name, "path"],
    ["State", (g) => (g.reason ? `${g.state}: ${g.reason}` : g.state), ""],
    ["Pending", (g) => g.backlog, "number"],
    ["Oldest pending", (g) => g.oldest_pending_s, "number", span],
    ["On lease", (g) => g.leased, "number"],
    ["To be tried again", (g) => g.retrying, "number"],
    ["Set aside", (g) => g.parked_paths, "number"],
    ["Workers waiting", (g) => g.waiting_pulls, "number"],
    ["Acknowledged tick", (g) => g.cursor, "number"],
  ], status.groups, knowsRows(status) ? "none" : "not known now");
  const held = (status.engine?.holds ?? []).map((hold) =>
    element("p", {}, `${hold.spent ? "batches flow although it is held" : "batches are held back"} by ${hold.name}, for ${span(hold.held_s)}`),
  );
  byId("hold-list").replaceChildren(...held);
  const aside = status.groups.flatMap((group) => group.parked.map((path) => ({ group: group.name, ...path })));
  byId("dead-section").hidden = !aside.length;
  drawTable("dead-table", "Paths that were set aside: `shardwatch dead retry` has them tried again", [
    ["Group", (p) => p.group, "path"],
    ["Path", (p) => p.path, "path"],
    ["Attempts", (p) => p.attempts, "number"],
    ["Reason", (p) => p.reason, "path"],
  ], aside);
}

function drawDegraded(status) {
  const subtrees = status.engine?.degraded ?? [];
  byId("degraded-section").hidden = !subtrees.length;
  drawTable("degraded-table", "Subtrees that are not watched", [
    ["Path", (d) => d.path, "path"],
    ["State", (d) => d.state, ""],
    ["Directories", (d) => d.directories, "number"],
    ["Shard", (d) => d.shard, ""],
    ["Reason", (d) => d.reason, "path"],
    ["Remedy", (d) => d.remedy || "–", "path"],
  ], subtrees);
}

function drawBusiest(status) {
  const found = (status.engine?.shards ?? []).flatMap((shard) => (shard.busiest ?? []).map((one) => ({ shard: shard.id, ...one })));
  byId("busiest-section").hidden = !found.length;
  drawTable("busiest-table", "Directories in which most changes, before debouncing", [
    ["Directory", (b) => b.path, "path"],
    ["Changes/min", (b) => b.per_minute, "number"],
    ["Shard", (b) => b.shard, ""],
  ], found.sort((a, b) => b.per_minute - a.per_minute).slice(0, 10));
}

function drawShipping(ship) {
  byId("ship-section").hidden = !ship;
  if (!ship) return;
  drawList("ship-list", [
    ["Connected", ship.connected ? "yes" : "no"],
    ["Stream", ship.stream ?? "–"],
    ["Server", ship.server || "–"],
    ["Source", ship.source ?? "–"],
    ["Paths behind", number(ship.behind)],
    ["Unconfirmed", number(ship.unconfirmed)],
    ["Generation", `${ship.generation}${ship.complete ? "" : ", not complete"}`],
  ]);
}

function drawPrograms(status) {
  drawTable("program-table", "All programs", [
    ["Program", (p) => p.name, ""],
    ["State", (p) => (p.state === "STARTING" && p.heard ? "RUNNING" : p.state), ""],
    ["Process", (p) => p.pid || null, "number", (pid) => String(pid ?? "–")],
    ["Up", (p) => p.up_s, "number", span],
    ["Deaths/min", (p) => p.deaths, "number"],
    ["Breaker", (p) => (["closed", "trying"].includes(p.breaker) ? p.breaker : `${p.breaker}, next try in ${span(p.retry_s)}`), ""],
    ["Error", (p) => p.error || "–", "path"],
  ], status.processes);
}

function draw(status) {
  take(status);
  document.title = `${status.health} – shardwatch`;
  const badge = byId("health");
  badge.textContent = status.health;
  badge.dataset.health = status.health;
  const roots = status.engine?.roots ?? [];
  const about = roots.length ? `watching ${roots.join(", ")}` : `service in ${status.state_dir}`;
  if (byId("about").textContent !== about) byId("about").textContent = about;
  drawFindings(status);
  drawNumbers(status);
  drawCharts();
  drawShards(status);
  drawGroups(status);
  drawBusiest(status);
  drawDegraded(status);
  drawShipping(status.ship);
  drawPrograms(status);
}

async function ask(address, limit) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`none within ${limit / 1000} s`)), limit);
  try {
    const answer = await fetch(address, { headers: { accept: "application/json" }, signal: late.signal });
    if (answer.status === 401) throw new Error("the token is missing or wrong: use the address that `shardwatch web` has printed");
    if (answer.headers.get("content-type") !== "application/json") throw new Error(`${answer.status} ${await answer.text()}`.trim());
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

async function update() {
  const stale = byId("stale");
  try {
    draw(await ask("/api/status", ANSWER_MS));
    stale.hidden = true;
  } catch (error) {
    document.title = "no answer – shardwatch";
    byId("health").textContent = "no answer";
    byId("health").dataset.health = "unknown";
    const said = `No answer from \`shardwatch web\`: ${error.message}. What is shown is of before.`;
    if (stale.hidden || stale.textContent !== said) stale.textContent = said;
    stale.hidden = false;
  }
  setTimeout(update, PERIOD_MS);
}

async function search(event) {
  event.preventDefault();
  const said = byId("search-said");
  const asked = new URLSearchParams(new FormData(byId("search-form")));
  said.textContent = "searching";
  const mine = ++searches;
  try {
    const found = await ask(`/api/find?${asked}`, SEARCH_MS);
    if (mine !== searches) return; // another one was begun meanwhile
    if (found.error) {
      said.textContent = found.error;
      byId("search-table").replaceChildren();
      return;
    }
    said.textContent = `${counted(found.files.length, "file")}${found.more ? ", and more: the latest are shown" : ""}`;
    drawTable("search-table", "The latest change first", [
      ["Path", (f) => f.path, "path"],
      ["Bytes", (f) => f.size, "number"],
      ["Modified", (f) => f.mtime, "time", (mtime) => new Date(mtime * 1000).toLocaleString("sv")],
      ["Tick", (f) => f.tick, "number"],
    ], found.files);
  } catch (error) {
    if (mine === searches) said.textContent = `No answer: ${error.message}`;
  }
}

byId("search-form").addEventListener("submit", search);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    byId("glob").focus();
  }
});
update();
