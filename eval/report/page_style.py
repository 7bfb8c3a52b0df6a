"""How the page looks, and the few lines that sort its tables."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #fbfbfa; --card: #ffffff; --ink: #1b1c1f; --quiet: #5d6069; --line: #e3e4e8;
  --accent: #2458c5; --best: #e4eefc; --best-ink: #173f94; --warn: #fff6dd; --alarm: #fdeaea;
  --floor: #1b1c1f; --ceiling: #14803c; --chance: #b3261e;
  --series-0: #2a6fd6; --series-1: #d9661f; --series-2: #14976b; --series-3: #7a4fc4;
  --series-4: #c23b6f; --series-5: #93781a; --series-6: #2391a8; --series-7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131417; --card: #1b1d21; --ink: #e9eaee; --quiet: #a3a7b1; --line: #2f3239;
    --accent: #8ab1ff; --best: #1d3154; --best-ink: #b9d1ff; --warn: #38301a; --alarm: #421f21;
    --floor: #e9eaee; --ceiling: #58c77f; --chance: #ff8a80;
    --series-0: #6ea5ff; --series-1: #f29a5c; --series-2: #4bc99b; --series-3: #b295f2;
    --series-4: #ee83ab; --series-5: #cdb25a; --series-6: #63c6da; --series-7: #a3a9b5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1480px; margin: 0 auto; padding: 44px 32px 80px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 14px; }
h2 { font-size: 20px; letter-spacing: -0.01em; margin: 0 0 6px; }
h3 { font-size: 15px; margin: 0 0 10px; }
.scroll + h3 { margin-top: 28px; }
section { margin-top: 52px; }
section.records { margin-top: 0; }
.quiet { color: var(--quiet); margin: 6px 0 14px; max-width: 92ch; }
a { color: var(--accent); }
code {
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--card); border: 1px solid var(--line); border-radius: 5px; padding: 2px 6px;
}
ul.facts { display: flex; flex-wrap: wrap; gap: 8px; list-style: none; padding: 0; margin: 0; }
ul.facts li {
  background: var(--card); border: 1px solid var(--line); border-radius: 999px;
  padding: 3px 12px; font-size: 13px; color: var(--quiet);
}
.box { border-radius: 10px; padding: 14px 18px; margin-top: 20px; font-size: 14px; }
.box ul { margin: 6px 0 0; padding-left: 20px; }
.warn { background: var(--warn); } .alarm { background: var(--alarm); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }

.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
table.narrow { width: auto; }
.scroll:has(table.narrow) { width: fit-content; max-width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 12px 11px; font-size: 13.5px; }
tbody tr { background: var(--card); }
thead th { vertical-align: bottom; border-bottom: 1px solid var(--line); font-size: 12px;
  line-height: 1.35; font-weight: 600; color: var(--quiet); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody th { font-weight: 650; }
th:first-child { position: sticky; left: 0; background: var(--card); z-index: 1; }
tr.differs, tr.differs th { background: var(--alarm); }
tr > :first-child { padding-left: 18px; }
tr > :last-child { padding-right: 20px; }
.sortable tbody th { min-width: 140px; max-width: 190px; padding-left: 34px; text-indent: -18px; }
.sortable thead th:first-child { padding-left: 34px; }
.number { text-align: right; }
td.number { white-space: nowrap; }
small { color: var(--quiet); font-size: 11.5px; font-weight: 400; line-height: 1.4; }
td small, th small, .bar-value small { display: block; text-indent: 0; }
td small { white-space: nowrap; }
td small.long { white-space: normal; min-width: 176px; }
th button { all: unset; cursor: pointer; text-align: inherit; color: inherit; }
th button:hover { color: var(--ink); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
th[aria-sort=ascending] button, th[aria-sort=descending] button { color: var(--accent); }
th[aria-sort=ascending] button::after { content: "\\00a0\\25b4"; }
th[aria-sort=descending] button::after { content: "\\00a0\\25be"; }
b.best, b.level { border-radius: 6px; padding: 2px 7px; font-weight: 650; }
b.best { background: var(--best); color: var(--best-ink); }
b.level { box-shadow: inset 0 0 0 1.5px var(--line); font-weight: inherit; }
td b.best, td b.level { margin-right: -7px; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 9px;
  background: currentColor; }

.grids { display: grid; gap: 22px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 240px), 1fr)); }
.grids.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border-radius: 6px; }
img.pixels { image-rendering: pixelated; }
figcaption { font-weight: 600; font-size: 14px; margin-top: 8px; }

.forests { display: grid; gap: 20px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px 22px; min-width: 0; container-type: inline-size; }
.row { display: grid; grid-template-columns: 152px minmax(0, 1fr) 184px; column-gap: 16px;
  align-items: center; }
.name { font-size: 13.5px; font-weight: 600; padding-left: 18px; text-indent: -18px; }
.track { position: relative; align-self: stretch; min-height: 50px; }
.track i { position: absolute; }
.tick { top: 0; bottom: 0; border-left: 1px solid var(--line); }
.line { top: 0; bottom: 0; margin-left: -1px; }
.floor { border-left: 2px dashed var(--floor); } .ceiling { border-left: 2px solid var(--ceiling); }
.chance { border-left: 2px dotted var(--chance); }
.span { top: 50%; height: 8px; margin-top: -4px; border-radius: 4px; background: currentColor;
  opacity: 0.38; min-width: 2px; }
.point { top: 50%; width: 12px; height: 12px; margin: -6px; border-radius: 50%;
  background: currentColor; border: 2px solid var(--card); }
.one { top: 50%; width: 6px; height: 6px; margin: -3px; border-radius: 50%;
  background: var(--card); box-shadow: 0 0 0 1.5px currentColor; }
.reading { font-size: 13.5px; padding: 6px 0; font-variant-numeric: tabular-nums; }
.reading b { font-weight: 650; margin-right: 6px; }
.reading small { display: block; }
.reading b + small { display: inline; }
.axis { position: relative; height: 22px; grid-column: 2; }
.axis b { position: absolute; top: 3px; transform: translateX(-50%); font-weight: 400;
  font-size: 12px; color: var(--quiet); font-variant-numeric: tabular-nums; white-space: nowrap; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 8px 0 0;
  padding: 0; font-size: 12.5px; color: var(--quiet); }
.key { display: inline-block; height: 12px; margin-right: 8px; vertical-align: -1px; }
.card details { border: 0; margin: 10px 0 0; font-size: 13px; }
.card summary { padding: 0; font-weight: 400; color: var(--accent); }
.card details ul { margin: 6px 0 0; padding-left: 20px; }
@container (max-width: 500px) {
  .row { grid-template-columns: minmax(0, 1fr); margin-top: 10px; }
  .row.scale { margin-top: 0; }
  .track { min-height: 26px; grid-row: 3; } .axis { grid-column: 1; }
  .reading { padding: 0 0 2px 18px; }
}

.bars { display: grid; grid-template-columns: fit-content(34%) 1fr max-content; gap: 12px 16px;
  align-items: center; max-width: 900px; }
.bar { position: relative; height: 18px; background: var(--line); border-radius: 4px; }
.fill { height: 100%; border-radius: 4px; background: currentColor; min-width: 2px; }
.mark { position: absolute; top: -6px; bottom: -6px; width: 2px; background: var(--ink); }
.bar-name { font-weight: 600; font-size: 14px; }
.bar-value { font-variant-numeric: tabular-nums; text-align: right; font-weight: 600; }

.chart { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 22px 26px 18px 60px; max-width: 980px; }
.plot { position: relative; height: 300px; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot i { position: absolute; }
.plot b { position: absolute; font: 12px/1 system-ui, sans-serif; color: var(--quiet);
  white-space: nowrap; }
.rule { left: 0; right: 0; border-top: 1px solid var(--line); }
.rule > b { right: 100%; margin-right: 10px; top: -6px; }
.step { bottom: 0; }
.step > b { top: 10px; transform: translateX(-50%); }
.axis-name { margin: 28px 0 4px; text-align: center; font-size: 12px; color: var(--quiet); }
polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.s0 { color: var(--series-0); } .s1 { color: var(--series-1); } .s2 { color: var(--series-2); }
.s3 { color: var(--series-3); } .s4 { color: var(--series-4); } .s5 { color: var(--series-5); }
.s6 { color: var(--series-6); } .s7 { color: var(--series-7); }

dl { margin: 0; }
.facts-list { display: grid; grid-template-columns: minmax(110px, 26%) 1fr; gap: 6px 16px;
  font-size: 13.5px; }
.facts-list dt { color: var(--quiet); }
.facts-list dd { margin: 0; }
.definitions { columns: 2 380px; column-gap: 44px; font-size: 14px; }
.definitions dt { font-weight: 650; break-after: avoid; }
.definitions dd { margin: 0 0 14px; color: var(--quiet); break-inside: avoid; }
details { border: 1px solid var(--line); border-radius: 10px; background: var(--card);
  margin-top: 8px; }
summary { cursor: pointer; padding: 10px 16px; font-weight: 600; }
.inside { padding: 0 16px 16px; }
pre { margin: 0; padding: 0 16px 16px; overflow-x: auto; overflow-wrap: normal;
  font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 640px) {
  main { padding: 28px 16px 60px; }
  h1 { font-size: 25px; }
  .card { padding: 16px; }
  .chart { padding: 18px 18px 14px 52px; }
  .facts-list { grid-template-columns: 1fr; gap: 0; }
  .facts-list dd { margin-bottom: 8px; }
  .sortable tbody th { min-width: 112px; max-width: 130px; }
}
@media print { .scroll { overflow: visible; } details { display: none; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  const other = {ascending: 'descending', descending: 'ascending'};
  heads.forEach((head, index) => head.querySelector('button').addEventListener('click', () => {
    const order = other[head.getAttribute('aria-sort')] || head.dataset.first;
    heads.forEach(one => one.setAttribute('aria-sort', one === head ? order : 'none'));
    const number = head.classList.contains('number');
    const sign = order === 'ascending' ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = a.cells[index].dataset.key, y = b.cells[index].dataset.key;
      if (x === '' || y === '') return (x === '') - (y === '');
      return sign * (number ? Number(x) - Number(y) : x.localeCompare(y));
    });
    table.tBodies[0].append(...rows);
  }));
}
"""
