// The list of live events. All text goes in as text: names and tags are what somebody sent.
"use strict";
(() => {
  const list = document.getElementById("events");
  if (list === null) return;
  const state = document.getElementById("events-state");
  const most = 500;
  const fields = ["agent", "task", "backend", "model", "outcome", "answered_from", "error_code", "status", "waiters", "attempt"];
  const bad = /failed$|error$|dead|down$|breaker\.open$/;
  const good = /hit$|finished$|closed$|collapsed$/;
  let paused = false;
  let held = [];
  let missed = 0;
  const seen = new Set();

  const part = (tag, kind, text) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.textContent = text;
    return element;
  };

  function row(event) {
    const item = document.createElement("li");
    const at = new Date(event.time * 1000);
    const time = part("time", "", at.toLocaleTimeString([], { hour12: false }));
    time.dateTime = at.toISOString();
    const sign = bad.test(event.type) ? ["dot bad", "■"] : good.test(event.type) ? ["dot good", "●"] : ["dot", "○"];
    const type = part("span", "type", "");
    const mark = part("span", sign[0], sign[1]);
    mark.setAttribute("aria-hidden", "true");
    type.append(mark, event.type.replace(/^optimizer\./, ""));
    const about = part("span", "about", "");
    const say = (name, value) => {
      const pair = document.createElement("span");
      pair.append(part("b", "", name), String(value));
      about.append(pair);
    };
    for (const name of fields) if (event[name] !== undefined && event[name] !== null) say(name.replace("_", " "), event[name]);
    if (event.timings?.total_ms) say("took", `${Math.round(event.timings.total_ms)} ms`);
    if (event.cost_usd) say("paid", `$${event.cost_usd.toPrecision(3)}`);
    if (event.saved_usd) say("saved", `$${event.saved_usd.toPrecision(3)}`);
    if (event.message) say("", event.message);
    if (event.request_id) {
      const link = part("a", "", "request");
      link.href = `/requests/of?id=${encodeURIComponent(event.request_id)}`;
      about.append(link);
    }
    item.append(time, type, about);
    return item;
  }

  function show(events) {
    const rows = document.createDocumentFragment();
    for (const event of events.reverse()) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      rows.append(row(event));
    }
    list.prepend(rows);
    while (list.children.length > most) list.lastElementChild.remove();
    if (seen.size > 20 * most) seen.clear();
    tell();
  }

  function tell() {
    if (paused) state.textContent = `Paused. ${held.length} events wait${missed ? `, ${missed} older ones are not kept` : ""}.`;
    else if (list.children.length) state.textContent = missed ? `${missed} events were too many to show.` : "";
    state.hidden = state.textContent === "";
  }

  document.addEventListener("events", ({ detail }) => {
    missed += detail.skipped;
    if (!paused) { show(detail.events); return; }
    held.push(...detail.events);
    if (held.length > most) { missed += held.length - most; held = held.slice(-most); }
    tell();
  });

  document.addEventListener("click", ({ target }) => {
    if (target.id === "clear") {
      list.replaceChildren();
      missed = 0;
      tell();
    } else if (target.id === "pause") {
      paused = !paused;
      target.setAttribute("aria-pressed", String(paused));
      target.textContent = paused ? "Go on" : "Pause";
      if (!paused) { missed = 0; show(held.splice(0)); }
      tell();
    }
  });
})();
