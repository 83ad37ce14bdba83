// The status page: reads the JSON under /v1/ once a second and draws it.
"use strict";

const keep = 90; // points of a chart, one per poll
const pause = 1000; // ms between polls
const history = new Map(); // node name -> {qps: [], lag: []}
let before = null; // the previous /v1/stats, for rates
let maxLag = null; // routing.max_lag in ms

const $ = (id) => document.getElementById(id);

// el makes an element with a class and children (text or elements).
function el(tag, cls, ...children) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function svg(tag, attributes) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function rate(n) {
  if (n === null || n === undefined) return "–";
  return n < 10 && n > 0 ? n.toFixed(1) : n < 10000 ? whole.format(n) : short.format(n);
}

function ms(n) {
  if (n === null || n === undefined) return "unknown";
  if (n < 10) return n.toFixed(1).replace(/\.0$/, "") + " ms";
  if (n < 1000) return n.toFixed(0) + " ms";
  return span(n / 1000);
}

// span is a length of time for people.
function span(seconds) {
  if (seconds < 60) return seconds.toFixed(seconds < 10 ? 1 : 0).replace(/\.0$/, "") + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  return Math.floor(seconds / 86400) + " d " + Math.floor((seconds % 86400) / 3600) + " h";
}

// duration reads Go's form (1m30s) as milliseconds; null when it cannot.
function duration(text) {
  const unit = { h: 3600000, m: 60000, s: 1000, ms: 1, "µs": 0.001, us: 0.001, ns: 0.000001 };
  let sum = 0, found = false;
  for (const [, n, u] of String(text).matchAll(/([\d.]+)(h|ms|m|s|µs|us|ns)/g)) {
    sum += Number(n) * unit[u];
    found = true;
  }
  return found ? sum : null;
}

async function get(path) {
  const r = await fetch(path, { cache: "no-store" });
  if (r.status === 404) return null; // this build does not have it
  if (!r.ok && r.status !== 503) throw new Error(path + ": " + r.status);
  return r.json();
}

// chart draws values (null is a gap) from the left, scaled to at least floor.
function chart(cls, values, floor, limit) {
  const w = keep - 1, h = 40;
  const top = Math.max(floor, limit || 0, ...values.map((v) => v || 0)) * 1.1;
  const y = (v) => (h - (v / top) * (h - 2)).toFixed(2);
  const s = svg("svg", { class: "chart " + cls, viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const start = keep - values.length;
  let run = [];
  const flush = () => {
    if (run.length > 0) {
      const points = run.map(([x, v]) => x + " " + y(v)).join(" L ");
      s.append(svg("path", { class: "area", d: `M ${run[0][0]} ${h} L ${points} L ${run[run.length - 1][0]} ${h} Z` }));
      s.append(svg("path", { class: "stroke", d: "M " + points }));
    }
    run = [];
  };
  values.forEach((v, i) => (v === null ? flush() : run.push([start + i, v])));
  flush();
  if (limit) s.append(svg("line", { class: "limit", x1: 0, x2: w, y1: y(limit), y2: y(limit) }));
  return s;
}

function figure(term, value, note) {
  return el("div", "", el("dt", "", term), el("dd", "", value, note ? el("small", "", " " + note) : null));
}

function stateOf(n) {
  if (n.state === "down" || n.state === "broken") return [n.state, "bad", "dead"];
  if (n.state !== "up") return [n.state, "warn", "unfit"];
  if (n.role === "leader") return ["takes writes", "good", ""];
  if (n.role === "unknown") return ["role unknown", "warn", "unfit"];
  return n.eligible ? ["serves reads", "good", ""] : ["no reads", "warn", "unfit"];
}

function card(n) {
  const [text, tone, extra] = stateOf(n);
  const h = history.get(n.name);
  const leader = n.role === "leader";
  const now = h.qps[h.qps.length - 1];
  const c = el("article", `node ${n.role} ${extra}`);
  c.dataset.node = n.name;
  c.append(el("div", "title", el("span", "name", n.name), el("span", "role", n.role), el("span", "state " + tone, text)));
  const where = [n.address, n.version, n.zone && "zone " + n.zone, !leader && n.weight !== 100 && "weight " + n.weight];
  c.append(el("div", "where", where.filter(Boolean).join(" · ")));
  const figures = el("dl", "figures", figure("queries/s", rate(now)));
  if (!leader) figures.append(figure("lag", n.lag_ms === null ? "unknown" : ms(n.lag_ms), n.lag_tx ? n.lag_tx + " tx" : ""));
  figures.append(figure("running", whole.format(n.outstanding), "of " + n.connections + " conn."));
  c.append(figures);
  if (leader) {
    c.append(chart("qps", h.qps, 10), el("div", "caption", el("span", "", "queries/s"), el("span", "", "last 90 s")));
  } else {
    const limit = maxLag !== null ? "limit " + ms(maxLag) : "";
    c.append(chart("lag", h.lag, 10, maxLag), el("div", "caption", el("span", "", "lag"), el("span", "", limit)));
  }
  if (n.why && !n.eligible && !leader) c.append(el("p", "why", n.why));
  c.title = n.position ? "position " + n.position : "";
  return c;
}

// links draws replication from the leader's card to those of the followers.
function links(nodes) {
  const box = $("topology").getBoundingClientRect();
  const from = $("leader").querySelector(".node");
  const paths = [];
  if (from) {
    const a = from.getBoundingClientRect();
    for (const c of $("followers").children) {
      const n = nodes.find((x) => x.name === c.dataset.node);
      const b = c.getBoundingClientRect();
      const x1 = a.left + a.width / 2 - box.left, y1 = a.bottom - box.top;
      const x2 = b.left + b.width / 2 - box.left, y2 = b.top - box.top;
      const bend = Math.min(34, (y2 - y1) / 2);
      const cls = n.state !== "up" ? "cut" : n.lag_ms === null ? "" : "live";
      paths.push(svg("path", { class: cls, d: `M ${x1} ${y1} C ${x1} ${y1 + bend}, ${x2} ${y2 - bend}, ${x2} ${y2}` }));
    }
  }
  $("links").replaceChildren(...paths);
}

function drawTopology(t, stats) {
  const seconds = before && stats ? (stats.at - before.at) / 1000 : 0;
  for (const n of t.nodes) {
    const h = history.get(n.name) || { qps: [], lag: [] };
    const now = stats && stats.nodes.find((x) => x.name === n.name);
    const was = before && before.nodes.find((x) => x.name === n.name);
    const known = now && was && seconds > 0 && now.statements >= was.statements;
    h.qps.push(known ? (now.statements - was.statements) / seconds : null);
    h.lag.push(n.lag_ms);
    h.qps = h.qps.slice(-keep);
    h.lag = h.lag.slice(-keep);
    history.set(n.name, h);
  }
  $("leader").replaceChildren(...t.nodes.filter((n) => n.role === "leader").map(card));
  $("followers").replaceChildren(...t.nodes.filter((n) => n.role !== "leader").map(card));
  links(t.nodes);
  onresize = () => links(t.nodes);
}

function drawReasons(stats) {
  $("routes").hidden = !stats;
  if (!stats) return;
  const total = stats.reasons.reduce((a, r) => a + r.count, 0);
  for (const target of ["follower", "leader"]) {
    const list = stats.reasons.filter((r) => r.target === target && r.count > 0).sort((a, b) => b.count - a.count);
    const sum = list.reduce((a, r) => a + r.count, 0);
    $(target + "-share").textContent = total ? ((100 * sum) / total).toFixed(1) + "% of " + short.format(total) : "";
    const bars = list.slice(0, 12).map((r) => {
      const fill = el("i", "");
      fill.style.width = (100 * r.count) / sum + "%";
      return el("li", "", el("span", "", r.reason.replaceAll("_", " ")), el("span", "", short.format(r.count)), el("div", "bar", fill));
    });
    $(target + "-reasons").replaceChildren(...(bars.length ? bars : [el("li", "none", "nothing yet")]));
  }
}

function cells(row, numbers) {
  return el("tr", "", ...row.map((text, i) => el("td", numbers.includes(i) ? "num" : "", String(text))));
}

function drawDigests(d) {
  $("digests").hidden = !d || d.digests.length === 0;
  if (!d) return;
  $("digests").querySelector("tbody").replaceChildren(...d.digests.map((x) => {
    const share = x.leader + x.follower ? ((100 * x.follower) / (x.leader + x.follower)).toFixed(0) + "%" : "–";
    const row = cells([x.text, short.format(x.count), ms(x.count ? x.total_ms / x.count : 0), share, x.reason.replaceAll("_", " ")], [1, 2, 3]);
    row.firstChild.className = "code";
    row.title = "digest " + x.digest;
    return row;
  }));
}

function drawSessions(s) {
  $("sessions").hidden = !s || s.total === 0;
  if (!s) return;
  $("session-count").textContent = s.total > s.sessions.length ? `${s.sessions.length} of ${whole.format(s.total)}` : "";
  $("sessions").querySelector("tbody").replaceChildren(...s.sessions.map((x) =>
    cells([x.id, x.user, x.client, x.schema, x.state, x.node, span(Math.max(0, (Date.now() - Date.parse(x.since)) / 1000))], [0, 6])));
}

function drawHead(t, stats, ready, config) {
  $("ready").className = "pill " + (ready.ready ? "good" : "bad");
  $("ready").textContent = ready.ready ? "ready" : "not ready";
  const facts = [["flavor", t.flavor], ["epoch", t.epoch]];
  if (stats) {
    const qps = before ? Math.max(0, stats.statements - before.statements) / ((stats.at - before.at) / 1000) : null;
    facts.push(["sessions", whole.format(stats.sessions)], ["queries/s", rate(qps)], ["up", span((Date.now() - Date.parse(stats.started_at)) / 1000)]);
  }
  $("facts").replaceChildren(...facts.map(([k, v]) => el("div", "", el("dt", "", k), el("dd", "", String(v)))));
  const trouble = [...(ready.reasons || [])];
  if (config && config.last_error) trouble.push("The last change of the configuration was rejected, the old one is in use:\n" + config.last_error);
  alarm(trouble.join("\n"));
}

function alarm(text) {
  $("alert").hidden = text === "";
  $("alert").textContent = text;
}

async function poll() {
  try {
    const [t, stats, ready, config, digests, sessions] = await Promise.all(
      ["/v1/topology", "/v1/stats", "/readyz", "/v1/config", "/v1/digests?limit=10", "/v1/sessions?limit=20"].map(get));
    if (stats) stats.at = performance.now();
    if (config && config.effective && config.effective.routing) maxLag = duration(config.effective.routing.max_lag);
    drawHead(t, stats, ready, config);
    drawTopology(t, stats);
    drawReasons(stats);
    drawDigests(digests);
    drawSessions(sessions);
    before = stats;
    document.body.dataset.drawn = t.seq;
  } catch (e) {
    $("ready").className = "pill bad";
    $("ready").textContent = "no answer";
    alarm("Bellwether does not answer: " + e.message);
  }
  setTimeout(poll, document.hidden ? 5 * pause : pause);
}

get("/v1/version").then((v) => { $("version").textContent = v ? "Bellwether " + v.version : ""; }).catch(() => {});
poll();
