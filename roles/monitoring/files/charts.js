// The charts of the page /status/. This script reads charts-RANGE.json, which trackbox_monitoring/history.py writes, and draws it with
// dygraphs. It also updates the status above the charts, without loading the page again.
"use strict";
(() => {
  const STATUS_SECONDS = 15;
  const RETRY_SECONDS = 10;
  const RELOAD_SECONDS = 60;
  // The colours are in the classes line-0 to line-7 and kind-… of charts.css.
  const DASHES = [null, [7, 3], [2, 2], [9, 3, 2, 3], null, [7, 3], [2, 2], [9, 3, 2, 3]];
  const page = document.getElementById("charts");
  const told = document.getElementById("told");
  const drawn = document.getElementById("drawn");
  const events = document.getElementById("events");
  const buttons = [...page.querySelectorAll("nav button")];
  // The page's URL without a user name and a password, because browsers refuse to fetch a URL that contains them.
  const folder = new URL(".", location.origin + location.pathname).href;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let data = null;
  let charts = [];
  let timer = 0;

  // dygraphs' own legend sets style attributes, which the page's policy forbids. The tables below the charts are their legends.
  const drawable = typeof Dygraph !== "undefined";
  if (drawable) Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

  // Abort after 10 s, because a dead connection would otherwise look like a status that does not change.
  const ask = (name) => fetch(folder + name, { cache: "no-cache", signal: AbortSignal.timeout(10000) });
  const create = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const digits = (value) => Math.abs(value) < 100 ? value.toLocaleString("en", { maximumSignificantDigits: 3 }) : Math.round(value).toLocaleString("en");

  // Times are in UTC, as in the sentences above the charts and in the alerts.
  const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";

  function scaled(value, units) {
    let number = value;
    let at = 0;
    while (Math.abs(number) >= 1000 && at < units.length - 1) {
      number /= 1000;
      at += 1;
    }
    return `${digits(number)} ${units[at]}`;
  }

  function written(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "bytes") return scaled(value, ["B", "kB", "MB", "GB", "TB"]);
    if (unit === "seconds") return value && value < 1 ? `${digits(value * 1000)} ms` : `${digits(value)} s`;
    if (unit === "%") return `${digits(Number(value.toFixed(2)))} %`;
    return digits(value);
  }

  function extremes(values) {
    const known = values.filter((value) => value !== null);
    return { last: known.at(-1), least: Math.min(...known), most: Math.max(...known) };
  }

  // Draw the events as lines behind the series. dygraphs' annotations would need a measured value at the time of each event.
  function drawMarks(canvas, area, graph) {
    for (const mark of data.marks) {
      const x = Math.round(graph.toDomXCoord(mark.time * 1000)) + 0.5;
      canvas.strokeStyle = canvas.fillStyle = colour(`--${mark.kind}`);
      canvas.lineWidth = 1;
      canvas.setLineDash([3, 3]);
      canvas.beginPath();
      canvas.moveTo(x, area.y);
      canvas.lineTo(x, area.y + area.h);
      canvas.stroke();
      canvas.setLineDash([]);
      canvas.beginPath();
      canvas.moveTo(x - 4, area.y);
      canvas.lineTo(x + 4, area.y);
      canvas.lineTo(x, area.y + 6);
      canvas.fill();
    }
  }

  class Chart {
    constructor(key) {
      this.key = key;
      this.box = create("section", "", { id: `chart-${key}`, className: "chart" });
      this.title = create("h2");
      this.plot = create("div", "", { className: "plot", tabIndex: 0 });
      this.plot.setAttribute("role", "img");
      this.text = create("p");
      this.table = create("table");
      this.box.append(this.title, this.plot, this.text, this.table);
      this.plot.addEventListener("keydown", (event) => this.pressed(event));
      this.plot.addEventListener("blur", () => select(null));
      this.names = "";
    }

    show(chart) {
      this.chart = chart;
      this.title.textContent = ["%", "bytes", "seconds", "version", "hours", "days"].includes(chart.unit) ? chart.title
        : `${chart.title}, ${chart.unit}`;
      this.text.textContent = chart.text;
      this.text.hidden = !chart.text;
      this.plot.hidden = this.table.hidden = !chart.series.length;
      const told = chart.series.map((series) => {
        const { last, least, most } = extremes(series.values);
        return `${series.name} ${[last, least, most].map((value) => written(value, chart.unit)).join(", ")}`;
      });
      this.plot.setAttribute("aria-label", `${chart.title}. Last, lowest and highest value: ${told.join("; ")}.`);
      this.draw();
      this.values(this.row ?? null);
    }

    draw() {
      const series = this.chart.series;
      if (!series.length) return;
      const rows = series[0].values.map((_, i) => [
        new Date((data.begin + i * data.step) * 1000), ...series.map((each) => each.values[i])]);
      const most = Math.max(...series.map((each) => extremes(each.values).most));
      const options = {
        file: rows,
        labels: ["time", ...series.map((_, i) => `${i}`)],
        colors: series.map((_, i) => colour(`--line-${i}`)),
        dateWindow: [data.begin * 1000, data.end * 1000],
        valueRange: [0, this.chart.most * 1.05 || most * 1.1 || 1],
        series: Object.fromEntries(series.map((_, i) => [`${i}`, { strokePattern: DASHES[i] }])),
        stepPlot: this.chart.unit === "version",
        axisLineColor: colour("--line"),
        gridLineColor: colour("--line"),
        axes: {
          x: { axisLabelWidth: 64, pixelsPerLabel: 72 },
          y: { axisLabelWidth: 64, pixelsPerLabel: 30, axisLabelFormatter: (value) => written(value, this.chart.unit) },
        },
      };
      const names = JSON.stringify(series.map((each) => each.name));
      if (this.graph && this.names === names) {
        this.graph.updateOptions(options);
        this.graph.resize();
        return;
      }
      this.names = names;
      if (this.graph) this.graph.destroy();
      const { file, ...fixed } = options;
      this.graph = new Dygraph(this.plot, file, {
        ...fixed,
        labelsUTC: true,
        strokeWidth: 1.75,
        highlightCircleSize: 3,
        axisLabelFontSize: 12,
        xAxisHeight: 26,
        // Switch off zooming and panning, because a touch scrolls the page, and the buttons choose the range.
        interactionModel: {},
        underlayCallback: drawMarks,
        highlightCallback: (_event, _x, _points, row) => select(row, this),
        unhighlightCallback: () => select(null, this),
      });
    }

    // Show the values at a row, or the last values.
    values(row) {
      const { series, unit } = this.chart;
      const head = create("tr");
      const time = row === null ? "Last" : moment(data.begin + row * data.step).slice(5, 16);
      head.append(create("td"), ...[time, "Lowest", "Highest"].map((text) => create("th", text, { scope: "col" })));
      const lines = series.map((each, i) => {
        const { last, least, most } = extremes(each.values);
        const line = create("tr");
        const name = create("th", "", { scope: "row" });
        name.append(create("i", "", { className: `line-${i}` }), each.name);
        const numbers = [row === null ? last : each.values[row], least, most];
        line.append(name, ...numbers.map((value) => create("td", written(value, unit))));
        return line;
      });
      this.table.replaceChildren(head, ...lines);
    }

    pressed(event) {
      const last = Math.round((data.end - data.begin) / data.step);
      const now = this.row ?? last;
      const row = { ArrowLeft: Math.max(now - 1, 0), ArrowRight: Math.min(now + 1, last), Home: 0, End: last, Escape: null }[event.key];
      if (row === undefined) return;
      event.preventDefault();
      select(row);
    }
  }

  // Show the values of all charts at a row of their common times; null: the last values. from: the chart that has already selected the row.
  function select(row, from) {
    for (const chart of charts) {
      if (!chart.graph) continue;
      chart.row = row;
      if (chart !== from && row === null) chart.graph.clearSelection();
      else if (chart !== from) chart.graph.setSelection(row);
      chart.values(row);
    }
  }

  function showEvents() {
    const lines = [...data.marks].sort((one, other) => other.time - one.time).map((mark) => {
      const line = create("tr");
      const time = create("th", "", { scope: "row" });
      time.append(create("i", "", { className: `kind-${mark.kind}` }), moment(mark.time));
      line.append(time, create("td", mark.text));
      return line;
    });
    events.querySelector("table").replaceChildren(...lines);
    events.hidden = !lines.length;
  }

  function show() {
    const known = new Map(charts.map((chart) => [chart.key, chart]));
    charts = data.charts.map((chart) => known.get(chart.key) ?? new Chart(chart.key));
    const boxes = charts.map((chart) => chart.box);
    for (const old of [...drawn.children]) if (!boxes.includes(old)) old.remove();
    boxes.forEach((box, at) => drawn.children[at] === box || drawn.insertBefore(box, drawn.children[at] ?? null));
    charts.forEach((chart, at) => chart.show(data.charts[at]));
    const left = data.unmarked.map((kind) => ` Events of the kind ${kind} are not marked here: there are too many.`);
    told.textContent = data.charts.length ? `Until ${moment(data.end)}.${left.join("")}` : "Nothing was measured in this range yet.";
    showEvents();
    page.dataset.range = data.range;
  }

  function clear() {
    drawn.replaceChildren();
    events.hidden = true;
    charts = [];
    data = null;
    delete page.dataset.range;
  }

  const range = () => buttons.find((button) => `#${button.value}` === location.hash)?.value ?? "24h";

  async function load() {
    clearTimeout(timer);
    if (!drawable) {
      told.textContent = "The charts cannot be drawn, because dygraph.js was not loaded. The page is loaded again in a minute.";
      timer = setTimeout(() => location.reload(), RELOAD_SECONDS * 1000);
      return;
    }
    const wanted = range();
    for (const button of buttons) button.setAttribute("aria-pressed", `${button.value === wanted}`);
    let wait = RETRY_SECONDS;
    let problem = "";
    try {
      const answer = await ask(`charts-${wanted}.json`);
      const found = answer.ok ? await answer.json() : null;
      // Drop the response, because another button was pressed meanwhile.
      if (wanted !== range()) return;
      if (found) {
        data = found;
        show();
        wait = Math.max(data.end + data.refresh - Date.now() / 1000, RETRY_SECONDS) + 1;
      } else {
        problem = answer.status === 404 ? "The charts of this range are being computed."
          : `The charts cannot be loaded: the answer has the status ${answer.status}.`;
      }
    } catch (error) {
      if (wanted !== range()) return;
      problem = `The charts cannot be loaded: ${error.message}.`;
    }
    if (problem) {
      // Charts of another range must not stay below this range's button.
      if (data?.range !== wanted) clear();
      told.textContent = problem;
    }
    clearTimeout(timer);
    timer = setTimeout(load, Math.min(wait, 300) * 1000);
  }

  async function renewStatus() {
    if (document.hidden) return;
    try {
      const answer = await ask("");
      if (!answer.ok) throw new Error(`the answer has the status ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      // Replace only the content of the elements, so that screen readers announce a change of the first line.
      for (const part of ["header div", "header p", "#problems"]) {
        const [old, now] = [document.querySelector(part), fresh.querySelector(part)];
        if (old.innerHTML !== now.innerHTML) old.replaceChildren(...now.childNodes);
        old.className = now.className;
      }
      document.title = fresh.title;
    } catch (error) {
      const line = document.querySelector("header p");
      line.className = "bad";
      line.textContent = `${line.textContent.split(" It cannot")[0]} It cannot be loaded again: ${error.message}.`;
    }
  }

  for (const button of buttons) button.addEventListener("click", () => { location.hash = button.value; });
  addEventListener("hashchange", load);
  dark.addEventListener("change", () => charts.forEach((chart) => chart.draw()));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { renewStatus(); load(); } });
  setInterval(renewStatus, STATUS_SECONDS * 1000);
  page.hidden = false;
  load();
})();
