// The explorer of recorded runs (book/explorer.md) and the lead figure. tools/explorer.py writes the data; no other site is asked.
// On a page: <div data-grokking="explorer">, or <div data-grokking="lead" data-epoch="28000" data-rate="0.6" data-instead="#id">,
// where data-instead names what is hidden once the lead figure is drawn, such as a picture for readers without JavaScript.
"use strict";
const grokking = (() => {
  const home = new URL(".", document.currentScript.src).href;
  const waiting = {}, arrived = {};

  // ---- loading: a page opened from a disk may run scripts and not read JSON, so data are scripts -----------------------
  function load(name) {
    return (arrived[name] ??= new Promise((resolve, reject) => {
      waiting[name] = resolve;
      const script = Object.assign(document.createElement("script"), {src: `${home}${name}.js`, onerror: reject});
      script.onload = () => resolve(); // the plotting library hands nothing over
      document.head.append(script);
    }));
  }
  const receive = (name, data) => waiting[name](data);
  const plotter = () => load("uPlot.iife.min");

  // ---- small tools -----------------------------------------------------------------------------------------------------
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      name in element && name !== "list" ? (element[name] = value) : element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  const fill = (select, options, chosen) => {
    select.replaceChildren(...options.map(([value, text]) => make("option", {value, textContent: text})));
    select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
    select.disabled = options.length < 2;
  };
  const count = new Intl.NumberFormat("en-US").format;
  const epochs = (t, budget) => (t === null ? `never within ${count(budget)}` : count(t));
  const unique = (values) => [...new Set(values)];
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--pst-color-${name}`).trim();
  const isDark = () => document.documentElement.dataset.theme === "dark";
  // On a dark page dark colours are mixed with white, so that they stay apart from the ground.
  function shown(colour, alpha = 1) {
    let rgb = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const light = (0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]) / 255;
    if (isDark() && light < 0.55) rgb = rgb.map((x) => Math.round(x + (255 - x) * (0.6 - light)));
    return `rgb(${rgb.join(" ")} / ${alpha})`;
  }
  const redraws = [];
  const onTheme = new MutationObserver(() => redraws.forEach((redraw) => redraw()));
  onTheme.observe(document.documentElement, {attributeFilter: ["data-theme"]});
  let width = innerWidth;
  addEventListener("resize", () => innerWidth !== width && ((width = innerWidth), redraws.forEach((redraw) => redraw())));

  // ---- plots -----------------------------------------------------------------------------------------------------------
  // lines: {x, y, colour, width, alpha, dash, to}; `to` fills down to the line of that number. Draws over log epochs.
  function plot(box, lines, {label, loss, tau, budget, height = 320, told}) {
    const x = unique(lines.flatMap((line) => line.x.filter((_, i) => line.y[i] !== undefined))).sort((a, b) => a - b);
    const on = (line) => {
      const known = new Map(line.x.map((epoch, i) => [epoch, line.y[i]]));
      return x.map((epoch) => known.get(epoch)); // undefined: not an epoch of this line, which is drawn across it
    };
    const level = tau && {x: [x[0], x.at(-1)], y: [tau, tau], colour: "#777777", width: 1, dash: [5, 4]};
    const all = level ? [...lines, level] : lines;
    const text = theme("text-base"), grid = {stroke: "rgb(128 128 128 / 0.3)", width: 1};
    const axis = {stroke: text, grid, ticks: grid, font: "13px sans-serif", labelFont: "13px sans-serif"};
    const decade = (v) => Number.isInteger(Math.log10(v)), decades = (u, values) => values.map((v) => (decade(v) ? v : null));
    const logarithmic = {...axis, grid: {...grid, filter: decades}, filter: decades, values: (u, values) => values.map((v) => (v === null ? "" : v >= 1 ? count(v) : v))};
    box.replaceChildren();
    return new uPlot({
      width: box.clientWidth, height, legend: {show: false}, cursor: {y: false, drag: {x: false, y: false}, points: {show: false}},
      scales: {
        x: {time: false, distr: 3, range: [x[0], budget]},
        y: loss ? {distr: 3} : {range: [-0.03, 1.05]},
      },
      axes: [
        {...logarithmic, label: "epoch", labelSize: 20, size: 34},
        {...(loss ? logarithmic : axis), label, labelSize: 22, size: loss ? 72 : 48},
      ],
      series: [{}, ...all.map((line) => ({
        stroke: shown(line.colour, line.alpha), width: line.width ?? 2, dash: line.dash, spanGaps: true, points: {show: false},
      }))],
      bands: all.flatMap((line, i) => (line.to === undefined ? [] : [{series: [i + 1, line.to + 1], fill: shown(line.colour, 0.15)}])),
      hooks: {setCursor: [(u) => told?.(u.cursor.idx == null ? null : x[u.cursor.idx])]},
    }, [x, ...all.map(on)], box);
  }

  // A spectrum: a row for each live neuron, a column for each frequency, as dark (light) as its amplitude.
  function heat(one, colour, title) {
    const columns = one.rows[0].length, tall = Math.max(2, Math.floor(180 / one.rows.length)), wide = 6;
    const canvas = make("canvas", {width: columns * wide, height: one.rows.length * tall, role: "img", ariaLabel: title});
    const context = canvas.getContext("2d");
    one.rows.forEach((row, i) => [...row].forEach((digit, k) => {
      context.fillStyle = shown(colour, parseInt(digit, 36) / 35);
      context.fillRect(k * wide, i * tall, wide, tall);
    }));
    const words = `${one.rows.length} of ${one.neurons} neurons are live; the strongest frequency has ` +
      `${Math.round(100 * one.share)}% of a neuron's power (median; white noise: ${Math.round(100 * one.noise)}%)`;
    return make("figure", {className: "gt-heat"}, make("figcaption", {}, make("b", {textContent: title}), make("br"), words), canvas,
      make("div", {className: "gt-scale"}, make("span", {textContent: "1"}), make("span", {textContent: "frequency (a row is a neuron)"}), make("span", {textContent: columns})));
  }

  const median = (values) => {
    if (values.includes(null)) return null; // older records lack some early epochs
    const sorted = values.toSorted((a, b) => a - b), n = sorted.length;
    return (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  };
  const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3]];

  // ---- the explorer ----------------------------------------------------------------------------------------------------
  async function explorer(box) {
    const index = await load("index");
    const metrics = Object.keys(index.axes);
    const lines = new Map(index.lines.map((line) => [[line.setting, line.kind, line.rate ?? "", line.cut].join("|"), line]));
    const FIRST = [["mlp|base||", "all"], ["mlp|ticket|0.6|28000", "all"]].filter(([key]) => lines.has(key));
    const named = (line) => [line.label, line.rate !== null && `rate ${line.rate}`, line.cut && `epoch ${cutText(line.cut)}`].filter(Boolean).join(", ");
    const cutText = (cut) => (cut.includes("t_gen") ? cut.replace(" t_gen", " × t_gen of its base") : count(cut));
    const GROUPS = {all: () => true, exploratory: (seed) => seed < index.exploratory, confirmatory: (seed) => seed >= index.exploratory};
    const runsOf = (line, seeds) => line.runs.filter(GROUPS[seeds] ? ([seed]) => GROUPS[seeds](seed) : ([seed]) => String(seed) === seeds);
    let chosen = [], metric = metrics[0], lost = 0;

    // State: #m=test_accuracy&l=setting|kind|rate|epoch|seed&l=...
    function restore() {
      const hash = new URLSearchParams(location.hash.slice(1));
      metric = metrics.includes(hash.get("m")) ? hash.get("m") : metrics[0];
      const told = hash.getAll("l").map((text) => text.split("|")).map((parts) => [parts.slice(0, 4).join("|"), parts[4] ?? "all"]);
      chosen = told.filter(([key]) => lines.has(key));
      lost = told.length - chosen.length;
      if (!chosen.length) chosen = FIRST.length ? FIRST.slice() : [[[...lines.keys()][0], "all"]];
      what.value = metric;
      rows();
    }
    function keep() {
      const hash = new URLSearchParams([["m", metric], ...chosen.map(([key, seed]) => ["l", `${key}|${seed}`])]);
      history.replaceState(null, "", `#${hash}`);
    }

    const list = make("ol", {className: "gt-lines"});
    const what = make("select", {id: "gt-metric"});
    fill(what, metrics.map((name) => [name, index.axes[name]]));
    what.onchange = () => ((metric = what.value), changed());
    const add = make("button", {type: "button", textContent: "Add a line"});
    add.onclick = () => {
      chosen.push(chosen.at(-1).slice());
      rows();
      list.lastChild.querySelector("select").focus();
    };
    const curves = make("div", {className: "gt-plot"}), hover = make("p", {className: "gt-told"});
    const beside = make("div", {className: "gt-spectra"}), table = make("div", {className: "gt-table", tabIndex: 0, role: "region", ariaLabel: "Runs"}), said = make("p", {role: "status"});
    box.replaceChildren(
      make("form", {onsubmit: (event) => event.preventDefault()}, list,
        make("p", {className: "gt-tools"}, add, make("label", {}, "Curves of ", what))),
      curves, hover, said, beside, table);

    // One row of controls for each line; what can be chosen further right depends on what stands further left.
    function rows() {
      list.replaceChildren(...chosen.map((one, i) => row(one, i)));
      changed();
    }
    function row(one, i) {
      const fields = ["setting", "kind", "rate", "cut", "seed"];
      const words = ["Setting", "Net", "Pruning rate", "Ticket epoch", "Seeds"];
      const selects = fields.map(() => make("select"));
      const sample = make("canvas", {className: "gt-sample", width: 44, height: 12, ariaHidden: "true"});
      function refill(wanted) {
        let left = [...lines.values()];
        const text = [(v) => index.settings[v].label, (v) => left.find((l) => l.kind === v).label,
          (v) => v || "none", (v) => (v ? cutText(v) : "none")];
        fields.slice(0, 4).forEach((field, k) => {
          const options = unique(left.map((line) => String(line[field] ?? "")));
          fill(selects[k], options.map((value) => [value, text[k](value)]), wanted[k]);
          left = left.filter((line) => String(line[field] ?? "") === selects[k].value);
        });
        const groups = Object.keys(GROUPS).map((name) => [name, `${name} (${runsOf(left[0], name).length})`, runsOf(left[0], name).length]);
        fill(selects[4], [...groups.filter((group) => group[2]), ...left[0].runs.map(([seed]) => [String(seed), String(seed)])], wanted[4]);
        one[0] = selects.slice(0, 4).map((select) => select.value).join("|");
        one[1] = selects[4].value;
      }
      refill([...one[0].split("|"), one[1]]);
      selects.forEach((select) => (select.onchange = () => (refill(selects.map((s) => s.value)), changed())));
      const remove = make("button", {type: "button", textContent: "×", ariaLabel: `Remove line ${i + 1}`, disabled: chosen.length < 2});
      remove.onclick = () => (chosen.splice(i, 1), rows(), add.focus());
      return make("li", {}, sample, ...selects.map((s, k) => make("label", {className: `gt-${fields[k]}`}, make("span", {textContent: words[k]}), s)), remove);
    }

    let last = 0;
    async function changed() {
      keep();
      const turn = ++last;
      const parts = await Promise.all(chosen.map(async ([key, seed], i) => {
        const line = lines.get(key), [data, waves] = await Promise.all([load(`curves/${line.file}`), load(`spectra/${line.file}`)]);
        const dash = DASHES[chosen.slice(0, i).filter(([other]) => lines.get(other).colour === line.colour).length % DASHES.length];
        return {line, data, waves, dash, runs: runsOf(line, seed)};
      }));
      await plotter();
      if (turn === last) draw(parts);
    }

    let redraw = () => {};
    redraws.push(() => redraw());
    function draw(parts) {
      redraw = () => draw(parts);
      const k = metrics.indexOf(metric), loss = metric.endsWith("loss"), budget = Math.max(...parts.map(({line}) => index.settings[line.setting].epochs));
      const all = parts.flatMap(({line, data, runs, dash}) => {
        const x = data.epochs, clean = (y) => y.map((v) => (v === null || (loss && v <= 0) ? undefined : v));
        const each = runs.map(([seed]) => data.seeds[seed][k]);
        const centre = runs.length > 1 ? x.map((_, i) => median(each.map((y) => y[i]))) : each[0];
        const faint = runs.length > 1 ? each.map((y) => ({x, y: clean(y), colour: line.colour, width: 1, alpha: 0.45, dash})) : [];
        return [...faint, {x, y: clean(centre), colour: line.colour, width: 2.5, dash, main: named(line)}];
      });
      const taus = unique(parts.map(({line}) => index.settings[line.setting].tau));
      plot(curves, all, {label: index.axes[metric], loss, budget, tau: metric === "test_accuracy" && taus.length === 1 ? taus[0] : 0, told: (epoch) => {
        hover.textContent = epoch === null ? "" : `Epoch ${count(epoch)}: ` + all.filter((one) => one.main && one.y[one.x.indexOf(epoch)] !== undefined)
          .map((one) => `${one.main} ${+one.y[one.x.indexOf(epoch)].toPrecision(3)}`).join("; ");
      }});
      Object.assign(curves, {role: "img", ariaLabel: `${index.axes[metric]} over epochs; the table below has the numbers`});
      parts.forEach(({line, dash}, i) => {
        const sample = list.children[i].querySelector("canvas"), context = sample.getContext("2d");
        context.clearRect(0, 0, 44, 12);
        Object.assign(context, {strokeStyle: shown(line.colour), lineWidth: 4});
        context.setLineDash(dash ?? []);
        context.stroke(new Path2D("M0 6H44"));
      });
      const runs = parts.reduce((sum, part) => sum + part.runs.length, 0);
      said.textContent = (lost ? `Not recorded, and left out: ${lost} of this link's lines. ` : "") + `${runs} ${runs === 1 ? "run" : "runs"}. ` + (parts.some((part) => part.runs.length > 1) ? "Thick lines are medians over seeds, faint lines the seeds. " : "") +
        parts.map(({line}) => index.settings[line.setting]).filter((one, i, every) => every.indexOf(one) === i)
          .map((one) => `${one.label}: ${one.task}, generalized from a test accuracy of ${one.tau} on.`).join(" ");
      // Of each line one seed: the lowest that all lines with spectra have, else its own lowest.
      const kept = parts.map(({waves, runs}) => runs.map(([seed]) => seed).filter((seed) => waves[seed]));
      const common = kept.flat().find((seed) => kept.every((seeds) => !seeds.length || seeds.includes(seed)));
      const pictures = parts.flatMap(({line, waves}, i) => kept[i].filter((seed) => common === undefined || seed === common).slice(0, 1).flatMap((seed) =>
        Object.entries(waves[seed]).map(([side, one]) => heat(one, line.colour, `${index.settings[line.setting].label}, ${named(line)}, seed ${seed}: ${side === "mask" ? "paths that the mask leaves" : "weights at the end"}`))));
      beside.replaceChildren(...(pictures.length ? pictures : ["No spectra: the records of these runs keep neither mask nor weights."]));
      const cells = (kind, values) => make("tr", {}, ...values.map((value) => make(kind, kind === "th" ? {scope: "col"} : {}, value)));
      const short = (tag, name, attributes) => make(tag, {...attributes, title: name, textContent: `${name.slice(0, 8)}…`});
      const byCount = [...parts].sort((a, b) => a.runs.length - b.runs.length); // single runs first
      table.replaceChildren(make("table", {className: "dataframe"},
        make("thead", {}, cells("th", ["net", "seed", "t_gen (epochs)", "training accuracy", "test accuracy", "record", "key", "made again by"])),
        make("tbody", {}, ...byCount.flatMap(({line, runs}) => runs.map(([seed, t, train, test, file, chapter, key, cut]) => cells("td", [
          `${index.settings[line.setting].label}, ${named(line)}${cut === null ? "" : ` (${count(cut)})`}`, seed, epochs(t, index.settings[line.setting].epochs), train, test, short("a", file, {href: `${home}records/${file}`, download: file}), short("code", key),
          make("code", {textContent: `python -m lib train --chapter ${chapter} --seeds ${seed} --results again`})]))))));
    }
    addEventListener("hashchange", () => new URLSearchParams(location.hash.slice(1)).has("l") && restore());
    restore();
  }

  // ---- the lead figure: a ticket's epoch and rate, on any page -----------------------------------------------------------
  async function lead(box) {
    const [data] = await Promise.all([load("lead"), plotter()]);
    const base = data.nets.find((net) => net.rate === null), tickets = data.nets.filter((net) => net.rate !== null);
    const cuts = unique(tickets.map((net) => net.cut)).sort((a, b) => a - b), rates = unique(tickets.map((net) => net.rate)).sort((a, b) => a - b);
    const slider = (id, values, start) => make("input", {type: "range", id, min: 0, max: values.length - 1, step: 1, value: values.indexOf(start)});
    const first = tickets.find((net) => net.cut === +box.dataset.epoch && net.rate === +box.dataset.rate) ?? tickets.at(-1);
    const cut = slider("gt-cut", cuts, first.cut), rate = slider("gt-rate", rates, first.rate);
    const outs = [make("b"), make("b")];
    const area = make("div", {className: "gt-plot", role: "img", ariaLabel: "Test accuracy of base and ticket over epochs; the sentence below has the numbers"});
    const words = make("p", {role: "status"}), budget = data.epochs.at(-1);
    // Not every pair of epoch and rate was run: what was not moved steps to the nearest that was.
    function moved(by) {
      const [c, r] = [cuts[cut.value], rates[rate.value]];
      const fits = tickets.filter((net) => (by === rate ? net.rate === r : net.cut === c));
      const net = fits.reduce((a, b) => {
        const far = (one) => (by === rate ? Math.abs(one.cut - c) : Math.abs(one.rate - r));
        return far(b) < far(a) ? b : a;
      });
      let note = "";
      if (net.cut !== c) note = ` Rate ${r} was not run at epoch ${count(c)}; the epoch is now ${count(net.cut)}.`;
      if (net.rate !== r) note = ` Epoch ${count(c)} was not run at rate ${r}; the rate is now ${net.rate}.`;
      cut.value = cuts.indexOf(net.cut);
      rate.value = rates.indexOf(net.rate);
      show(net, note);
    }
    let redraw = () => {};
    redraws.push(() => redraw());
    function show(net, note) {
      redraw = () => show(net, note);
      outs[0].textContent = cut.ariaValueText = count(net.cut);
      outs[1].textContent = rate.ariaValueText = String(net.rate);
      const clean = (y) => y.map((v) => v ?? undefined);
      ["base", "ticket"].forEach((kind) => box.style.setProperty(`--gt-${kind}`, shown(data.colours[kind])));
      const drawn = [["base", base], ["ticket", net]].flatMap(([kind, {bands}], i) => bands.map((y, j) => ({
        x: data.epochs, y: clean(y), colour: data.colours[kind], width: j === 1 ? 2.5 : 0.5, alpha: j === 1 ? 1 : 0.35, ...(j === 2 ? {to: 3 * i} : {})})));
      plot(area, drawn, {label: data.axis, tau: data.tau, budget, height: 220});
      const pairs = net.times.map((t, i) => [t ?? Infinity, base.times[i] ?? Infinity]), sooner = pairs.filter(([t, b]) => t < b).length;
      const does = (name, one) => (one.median === null ? `${name} of most seeds does not reach a test accuracy of ${data.tau} within ${count(budget)} epochs` : `${name} generalizes at epoch ${count(one.median)}`);
      words.replaceChildren(`${does("The dense base", base)}; ${does("the ticket", net)} (medians over ${data.seeds}; in ${sooner} of ${pairs.length} the ticket is sooner).`, note);
    }
    for (const by of [cut, rate]) by.oninput = () => moved(by);
    const key = (kind, text) => make("span", {className: "gt-key"}, make("i", {className: `gt-${kind}`}), text);
    box.replaceChildren(
      make("form", {className: "gt-sliders", onsubmit: (event) => event.preventDefault()},
        make("label", {htmlFor: "gt-cut"}, "Ticket cut at epoch ", outs[0]), cut, make("label", {htmlFor: "gt-rate"}, "Pruning rate ", outs[1]), rate),
      make("p", {className: "gt-keys"}, key("base", "base (dense)"), key("ticket", "ticket"), ` ${data.setting}; line: median over seeds, band: lowest to highest`), area, words);
    document.querySelector(box.dataset.instead || null)?.setAttribute("hidden", "");
    show(first, "");
  }

  function start() {
    document.querySelectorAll("[data-grokking=explorer]").forEach(explorer);
    const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({target}) => (seen.unobserve(target), lead(target))), {rootMargin: "100%"});
    document.querySelectorAll("[data-grokking=lead]").forEach((box) => seen.observe(box));
  }
  document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start();
  return {receive};
})();
