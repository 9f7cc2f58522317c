// Keeps a page current: a stream of ticks, each asks for the page again; says so when the connection is lost.
"use strict";
(() => {
  const page = document.getElementById("page");
  const banner = document.getElementById("connection");
  let source = null;
  let lostAt = null;
  let asking = false;
  let stale = false;
  let server = null;
  let watchdog = 0;

  const time = (at) => at.toLocaleTimeString([], { hour12: false });

  function lost() {
    if (lostAt === null) lostAt = new Date();
    banner.textContent = `Connection lost since ${time(lostAt)}. What you see is from then; trying again.`;
    banner.hidden = false;
  }

  function found() {
    lostAt = null;
    banner.hidden = true;
  }

  function refresh() {
    if (asking) { stale = true; return; }
    if (document.hidden || !page.hasAttribute("hx-get")) return;
    asking = true;
    htmx.trigger(page, "tick");
  }

  document.addEventListener("htmx:finally:request", () => {
    asking = false;
    if (stale) { stale = false; setTimeout(refresh, 300); }
  });
  // An answer that is none (the server went away, or wants the token again) must not be put into the page.
  document.addEventListener("htmx:before:swap", (event) => {
    const status = event.detail?.ctx?.response?.raw?.status ?? 200;
    if (status === 401) location.assign("/login");
    else if (status >= 500) { event.preventDefault(); lost(); }
  });
  document.addEventListener("htmx:error", lost);

  // A connection may be dead without anybody saying so, for example after the computer slept.
  function expect() {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => { lost(); open(); }, 20000);
  }

  function open() {
    close();
    if (!document.body.dataset.stream) return;
    source = new EventSource(document.body.dataset.stream);
    expect();
    source.addEventListener("tick", (event) => {
      const told = JSON.parse(event.data);
      if (server !== null && server !== told.started) { location.reload(); return; }
      server = told.started;
      found();
      expect();
      refresh();
    });
    source.addEventListener("events", (event) => {
      document.dispatchEvent(new CustomEvent("events", { detail: JSON.parse(event.data) }));
    });
    source.addEventListener("error", () => {
      lost();
      // A browser gives up for good if the answer was no stream, for example of a proxy whose server is away.
      if (source !== null && source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 2000); }
    });
  }

  function close() {
    clearTimeout(watchdog);
    if (source !== null) source.close();
    source = null;
  }

  // A browser keeps six connections to a server: a tab that nobody sees needs none.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  document.addEventListener("stream", open);

  open();
})();
