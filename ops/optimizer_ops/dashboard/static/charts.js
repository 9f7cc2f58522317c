// Draws the timelines: <div class="chart" data-chart="{…}">, again when its data has changed.
"use strict";
(() => {
  const drawn = new WeakMap();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const digits = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

  const shown = {
    count: (value) => digits.format(value),
    money: (value) => (value === 0 ? "$0" : value < 1 ? `$${Number(value.toPrecision(3))}` : value < 100 ? `$${value.toFixed(2)}` : `$${digits.format(value)}`),
    ms: (value) => value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`,
  };
  const pad = (number) => String(number).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  // Times are the server's, as everywhere on the page: they come shifted, and are read as if they were UTC.
  const day = (at) => { const date = new Date(at * 1000); return `${pad(date.getUTCDate())} ${months[date.getUTCMonth()]}`; };
  const clock = (at) => { const date = new Date(at * 1000); return `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}`; };

  function stack(series) {
    const sums = [];
    let below = null;
    for (const { values } of series) {
      below = values.map((value, at) => (value ?? 0) + (below ? below[at] : 0));
      sums.push(below);
    }
    return sums;
  }

  // µPlot draws later series over earlier ones: of a stack the whole comes first.
  function data(chart) {
    const rows = chart.stacked ? stack(chart.series).reverse() : chart.series.map((one) => one.values);
    return [chart.at, ...rows];
  }

  function options(element, chart) {
    const bars = chart.unit === "count";
    const ordered = chart.stacked ? [...chart.series].reverse() : chart.series;
    const last = bars ? chart.step : 0;
    const axis = { stroke: style("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    return {
      width: element.clientWidth,
      height: element.clientHeight - (element.clientWidth < 420 && chart.series.length > 2 ? 46 : 26),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { drag: { setScale: false }, points: { size: 6 } },
      legend: { live: true },
      scales: { x: { range: (_, low, high) => [low, high + last] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [
        { ...axis, size: 24, gap: 4, grid: { show: false }, space: 62, values: (_, ticks, __, ___, gap) => ticks.map((at) => (gap >= 43200 ? day(at) : clock(at))) },
        { ...axis, size: 52, grid: { stroke: style("--line"), width: 1 }, space: 34, values: (_, ticks) => ticks.map(shown[chart.unit]) },
      ],
      series: [
        { label: "", value: (_, at) => (at == null ? "" : `${day(at)} ${clock(at)}`) },
        ...ordered.map((one) => ({
          label: one.name,
          stroke: style(`--${one.colour}`),
          fill: bars ? style(`--${one.colour}`) : chart.unit === "money" ? style(`--${one.colour}-soft`) : undefined,
          width: bars ? 0 : 1.75,
          points: { show: chart.unit === "ms" || chart.at.length < 3, size: 4 },
          paths: bars ? uPlot.paths.bars({ size: [0.82, 40], align: 1 }) : undefined,
          spanGaps: false,
          value: (_, __, series, at) => {
            if (at == null) return "";
            const value = one.values[at];
            return value == null ? "–" : shown[chart.unit](value);
          },
        })),
      ],
    };
  }

  function draw(element) {
    const text = element.dataset.chart;
    const before = drawn.get(element);
    if (before?.text === text || !element.clientWidth) return;
    const chart = JSON.parse(text);
    const now = data(chart);
    const names = chart.series.map((one) => one.name).join();
    if (before && before.names === names) {
      chart.series.forEach((one, at) => { before.chart.series[at].values = one.values; });
      before.plot.setData(now);
      before.text = text;
      return;
    }
    before?.plot.destroy();
    drawn.set(element, { text, names, chart, plot: new uPlot(options(element, chart), now, element) });
  }

  function all(again) {
    for (const element of document.querySelectorAll(".chart")) {
      if (again && drawn.has(element)) {
        drawn.get(element).plot.destroy();
        drawn.delete(element);
      }
      draw(element);
    }
  }

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    all(true);
  });
  document.addEventListener("theme", () => all(true));
  document.addEventListener("htmx:after:swap", () => all(false));
  all(false);
})();
